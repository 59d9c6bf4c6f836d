// Pages with a user's data do not stay readable in other tabs once the session is ended in one.
(() => {
  "use strict";
  const tabs = new BroadcastChannel("session");
  let ending = false;
  for (const form of document.querySelectorAll("form[data-ends-session]")) {
    form.addEventListener("submit", () => { ending = true; });
  }
  addEventListener("pagehide", () => ending && tabs.postMessage("ended")); // the answer is there, or there is none
  tabs.addEventListener("message", () => {
    const page = document.querySelector("[name=back]").value; // a reload could send a form again
    document.body.replaceChildren();
    location.replace(page); // to sign in, or to the same page if the session goes on after all
  });
})();
