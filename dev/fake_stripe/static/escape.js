// Escape in the challenge's frame closes it: the page around it does that.
window.addEventListener("keydown", (event) => event.key === "Escape" && window.parent.postMessage("3d-secure-escape", "*"));
