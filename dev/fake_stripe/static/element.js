// Inside the payment element's frame: the card form. Card numbers stay here; the page only gets the outcome.
(() => {
  "use strict";
  const words = JSON.parse(document.currentScript.dataset.words);
  const say = (text) => words[text] ?? text;
  const field = (name) => document.getElementById(name);
  const [number, expiry, cvc, problem] = ["number", "expiry", "cvc", "problem"].map(field);
  let port;

  const digits = (input) => input.value.replace(/\D/g, "");
  const isAmex = () => /^3[47]/.test(digits(number));

  function passesLuhn(text) {
    const sum = [...text].reverse().reduce((total, digit, i) => {
      const value = Number(digit) * (1 + (i % 2));
      return total + (value > 9 ? value - 9 : value);
    }, 0);
    return text.length >= 12 && sum % 10 === 0;
  }

  function check() {
    const month = Number(digits(expiry).slice(0, 2));
    const year = 2000 + Number(digits(expiry).slice(2));
    const now = new Date();
    const fail = (code, message) => ({ type: "validation_error", code, message });
    if (digits(number).length < 12) return fail("incomplete_number", say("Your card number is incomplete."));
    if (!passesLuhn(digits(number))) return fail("invalid_number", say("Your card number is invalid."));
    if (digits(expiry).length < 4) return fail("incomplete_expiry", say("Your card's expiration date is incomplete."));
    if (month < 1 || month > 12) return fail("invalid_expiry_month", say("Your card's expiration date is invalid."));
    if (year * 12 + month < now.getFullYear() * 12 + now.getMonth() + 1) {
      return fail("invalid_expiry_year_past", say("Your card's expiration year is in the past."));
    }
    if (digits(cvc).length < (isAmex() ? 4 : 3)) return fail("incomplete_cvc", say("Your card's security code is incomplete."));
    return null;
  }

  function show(error) {
    problem.textContent = error ? error.message : "";
    resize();
    return error ? { error } : {};
  }

  async function confirm({ key, path, params }) {
    const error = check();
    if (error) return show(error);
    const body = new URLSearchParams({
      ...params,
      "payment_method_data[type]": "card",
      "payment_method_data[card][number]": digits(number),
      "payment_method_data[card][exp_month]": String(Number(digits(expiry).slice(0, 2))),
      "payment_method_data[card][exp_year]": "20" + digits(expiry).slice(2),
      "payment_method_data[card][cvc]": digits(cvc),
    });
    try {
      const reply = await fetch(path, { method: "POST", headers: { Authorization: "Bearer " + key }, body });
      const answer = await reply.json();
      if (answer.error) return show({ ...answer.error, message: say(answer.error.message) });
      show(null);
      return { paymentIntent: answer };
    } catch (failure) {
      return show({ type: "api_connection_error", message: say("We could not reach the payment service. Please try again.") });
    }
  }

  const answers = { validate: () => show(check()), confirm, focus: () => number.focus() };
  const notify = (event, details) => port?.postMessage({ event, details });
  const resize = () => notify("height", document.body.scrollHeight);

  function changed() {
    const empty = ![number, expiry, cvc].some(digits);
    notify("change", { empty, complete: check() === null, collapsed: false, value: { type: "card" } });
  }

  number.addEventListener("input", () => (number.value = digits(number).slice(0, 19).replace(/(.{4})(?=.)/g, "$1 ")));
  expiry.addEventListener("input", () => (expiry.value = digits(expiry).slice(0, 4).replace(/^(..)(?=.)/, "$1 / ")));
  cvc.addEventListener("input", () => (cvc.value = digits(cvc).slice(0, isAmex() ? 4 : 3)));
  for (const input of [number, expiry, cvc]) {
    input.addEventListener("input", changed);
    input.addEventListener("keydown", (event) => event.key === "Enter" && notify("submit")); // as in a form
  }

  window.addEventListener("message", (message) => {
    if (message.source !== window.parent || !message.ports[0] || port) return;
    port = message.ports[0];
    port.onmessage = async ({ data }) => port.postMessage({ id: data.id, answer: await answers[data.question](data.details) });
    applyAppearance(message.data.appearance);
    document.body.hidden = false; // which flashes in no other colours
    if (message.data.clientSecret) notify("ready", {});
    else notify("loaderror", { error: { type: "invalid_request_error", message: "elements() needs a clientSecret." } });
    resize();
  });

  function applyAppearance(appearance = {}) {
    if (appearance.theme === "night") document.documentElement.classList.add("night");
    for (const [name, value] of Object.entries(appearance.variables || {})) {
      document.documentElement.style.setProperty("--" + name, value);
    }
  }
})();
