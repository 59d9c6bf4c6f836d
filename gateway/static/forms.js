// Passwords can be shown; the time zone is the browser's at first, then that of the city; leaving an edited form asks first.
(() => {
  "use strict";
  const words = JSON.parse(document.currentScript.dataset.words ?? "{}");
  const say = (text) => words[text] ?? text;

  // this browser's name of a time zone, which may be an older one such as Asia/Calcutta
  function usual(zone) {
    try {
      return new Intl.DateTimeFormat("en", { timeZone: zone }).resolvedOptions().timeZone;
    } catch {
      return zone;
    }
  }

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
  for (const zone of document.querySelectorAll("[data-own-zone]")) {
    const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const cities = [...zone.options];
    const city = document.getElementById("city");
    let chosen = false;
    const called = (name) => cities.find((option) => name(option.dataset.zone) === own);
    if (own) {
      const place = called((name) => name) ?? called(usual);
      if (!place) zone.prepend(new Option(own));
      zone.value = place?.value ?? own;
    }
    zone.addEventListener("input", () => (chosen = true));
    city.addEventListener("change", () => {
      const named = cities.find((option) => option.value.toLowerCase() === city.value.trim().toLowerCase());
      if (named && !chosen) zone.value = named.value;
    });
  }
  for (const form of document.querySelectorAll("form[data-guard]")) {
    let changed = form.dataset.guard === "changed"; // what was refused is not kept anywhere but here
    let sent = false;
    form.addEventListener("input", () => (changed = true));
    form.addEventListener("submit", () => (sent = true));
    addEventListener("beforeunload", (event) => changed && !sent && form.isConnected && event.preventDefault());
  }
})();
