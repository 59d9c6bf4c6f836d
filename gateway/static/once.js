// A form marked data-once is sent only once: a second click during the request does nothing.
for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "yes";
    const button = form.querySelector("button");
    button.setAttribute("aria-disabled", "true");
    if (button.dataset.busy) button.textContent = button.dataset.busy;
  });
}
// A page restored from the browser's history may be sent again.
addEventListener("pageshow", (event) => event.persisted && location.reload());
