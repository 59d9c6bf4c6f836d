// Passkeys: the browser makes one, or answers with one; the form carries its answer, and the server decides.
(() => {
  "use strict";
  const words = JSON.parse(document.currentScript.dataset.words ?? "{}");
  const say = (text) => words[text] ?? text;
  const parse = window.PublicKeyCredential?.parseRequestOptionsFromJSON;
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const { passkey, options, origin } = form.dataset;
    form.dataset.scripted = ""; // its place is kept until now
    const hint = document.querySelector("[data-passkey-hint]");
    if (!parse || location.origin !== origin) { // passkeys belong to one address
      if (parse && hint) hint.textContent = say("Passkeys work at {address}, the address of this site.").replace("{address}", origin);
      continue;
    }
    if (hint) hint.hidden = true;
    form.hidden = false;
    const problem = form.querySelector("[data-problem]");
    const button = form.querySelector("button");

    const ask = async () => {
      const reply = await fetchInTime(options, { method: "POST", body: new FormData(form) });
      if (reply.redirected) return location.assign(reply.url); // to sign in, or to confirm
      if (!reply.ok) throw new Error(`no passkey can be used now: ${reply.status}`);
      const asked = await reply.json();
      const credential = passkey === "create"
        ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(asked) })
        : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(asked) });
      form.elements.answer.value = JSON.stringify(credential.toJSON());
      form.submit();
    };

    const explain = (error) => ({
      NotAllowedError: say("No passkey was used: you cancelled it, it took too long, or this device has none for this site."),
      InvalidStateError: say("This device has a passkey for your account already."),
    })[error.name] || say("That did not work. Try again in a moment.");

    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (button.getAttribute("aria-disabled")) return;
      problem.hidden = true;
      button.setAttribute("aria-disabled", "true");
      ask().catch((error) => {
        problem.textContent = explain(error);
        problem.hidden = false;
      }).finally(() => button.removeAttribute("aria-disabled"));
    });
  }
})();
// A page restored from the browser's history has an answer that was used.
addEventListener("pageshow", (event) => event.persisted && location.reload());
