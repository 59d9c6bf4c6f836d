// The 3-D Secure challenge in a frame has been answered: tell the page around it.
window.parent.postMessage("3d-secure-done", "*");
