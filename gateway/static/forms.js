// Passwords can be looked at; the time zone is the browser's at first; who leaves an edited form is asked first.
(() => {
  "use strict";
  const words = JSON.parse(document.currentScript.dataset.words ?? "{}");
  const say = (text) => words[text] ?? text;

  for (const button of document.querySelectorAll("[data-reveal]")) {
    const input = document.getElementById(button.dataset.reveal);
    const [word] = button.childNodes;
    button.hidden = false;
    button.addEventListener("click", () => {
      const shown = input.type === "text";
      input.type = shown ? "password" : "text";
      word.textContent = shown ? say("Show") : say("Hide");
    });
    input.form.addEventListener("submit", () => (input.type = "password")); // or browsers would remember it as text
  }
  for (const zones of document.querySelectorAll("select[data-own-zone]")) {
    const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (own && ![...zones.options].some((option) => option.value === own)) zones.add(new Option(own));
    if (own) zones.value = own;
  }
  for (const form of document.querySelectorAll("form[data-guard]")) {
    let changed = form.dataset.guard === "changed"; // what was refused is not kept anywhere but here
    let sent = false;
    form.addEventListener("input", () => (changed = true));
    form.addEventListener("submit", () => (sent = true));
    addEventListener("beforeunload", (event) => changed && !sent && event.preventDefault());
  }
})();
