// A form marked data-once is sent only once: a second click during the request does nothing. The slowest answer takes 20
// seconds; when there was none, as after the browser's Stop, the form may be sent again.
for (const form of document.querySelectorAll("form[data-once]")) {
  const button = form.querySelector("button:not([type=button])");
  form.addEventListener("submit", (event) => {
    if (button.hasAttribute("aria-disabled")) return event.preventDefault();
    button.setAttribute("aria-disabled", "true");
    setTimeout(() => button.removeAttribute("aria-disabled"), 25_000);
  });
}
// A page restored from the browser's history may be sent again.
addEventListener("pageshow", (event) => event.persisted && location.reload());
