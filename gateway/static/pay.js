// The card form: Stripe's Payment Element in our page. Card numbers go from its iframe to Stripe, never to us.
(() => {
  "use strict";
  const words = JSON.parse(document.currentScript.dataset.words ?? "{}");
  const say = (text) => words[text] ?? text;
  const form = document.querySelector("form[data-pay]");
  if (!form) return;
  const part = (name) => form.querySelector(`[data-${name}]`);
  const [place, ownCard, testCards, problem, status] = ["card-form", "own-card", "test-cards", "problem", "status"].map(part);
  const button = form.querySelector("button");
  const label = button.textContent;
  const returnUrl = new URL(form.dataset.return, location.href).href;
  const CONFIRMED = ["requires_capture", "succeeded", "processing", "canceled"];
  let stripe, elements, clientSecret;

  const choices = [...form.querySelectorAll("[name=token]")];
  const entersCard = () => !choices.length || choices.some((choice) => choice.checked && !choice.value);

  function busy(text) {
    form.dataset.underWay = "";
    button.setAttribute("aria-disabled", "true");
    button.setAttribute("aria-busy", "true");
    status.textContent = button.textContent = text;
  }

  function idle() {
    delete form.dataset.underWay;
    button.removeAttribute("aria-disabled");
    button.removeAttribute("aria-busy");
    button.textContent = label;
    status.textContent = "";
  }

  function showProblem(title, text) {
    for (const earlier of document.querySelectorAll("[data-earlier-problem]")) earlier.remove();
    problem.replaceChildren(...[["h2", title], ["p", text]].map(([tag, words]) => {
      const element = document.createElement(tag);
      element.textContent = words;
      return element;
    }));
    problem.hidden = false;
    idle();
    problem.focus();
  }

  const leave = () => location.replace(returnUrl); // which refreshes from Stripe and leads to the order

  function load(address) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      Object.assign(script, { src: address, onload: resolve, onerror: reject });
      document.head.append(script);
    });
  }

  async function start() {
    const reply = await fetchInTime(form.dataset.intent, { method: "POST", headers: { Accept: "application/json" } });
    if (reply.status === 401 || reply.status === 409) return location.reload();
    if (reply.status === 402) return refused(await reply.json());
    if (!reply.ok) throw new Error(`no payment can be started: ${reply.status}`);
    const [intent] = await Promise.all([reply.json(), load(form.dataset.stripe)]);
    clientSecret = intent.clientSecret;
    stripe = Stripe(intent.publishableKey, { locale: document.documentElement.lang });
    const { paymentIntent } = await stripe.retrievePaymentIntent(clientSecret);
    if (paymentIntent && CONFIRMED.includes(paymentIntent.status)) return leave();
    mount();
    if (form.dataset.challenge !== undefined) challenge(paymentIntent);
  }

  function mount() {
    const probe = document.createElement("span"); // a variable has two colours, of which a property takes one
    place.append(probe);
    const color = (name) => ((probe.style.color = `var(${name})`), getComputedStyle(probe).color);
    const variables = {
      colorPrimary: color("--accent"), colorBackground: color("--card"), colorText: color("--ink"),
      colorTextSecondary: color("--soft"), colorDanger: color("--bad"), borderRadius: "8px",
    };
    const isDark = getComputedStyle(document.documentElement).getPropertyValue("--is-dark").trim() === "1";
    probe.remove();
    elements = stripe.elements({ clientSecret, appearance: { theme: isDark ? "night" : "stripe", variables } });
    const card = elements.create("payment");
    card.on("ready", () => place.querySelector(".hint")?.remove());
    card.on("loaderror", () => unavailable());
    const frame = document.createElement("div");
    place.append(frame);
    card.mount(frame);
    button.hidden = false;
  }

  function refused({ errors: [{ message }] }) {
    unavailable();
    showProblem(say("This order cannot be paid"), message);
  }

  function unavailable() {
    place.hidden = true;
    if (!ownCard) return showProblem(say("The card form could not be loaded"), say("Reload this page to try again."));
    ownCard.hidden = true; // a test card can still be chosen
    testCards.open = true;
    for (const choice of choices) choice.checked = choice.checked && Boolean(choice.value);
  }

  async function confirm() {
    const { error } = await elements.submit();
    if (error) return showProblem(say("Check the card"), error.message);
    const attempt = await announceAttempt();
    if (attempt === null) return;
    if (!attempt) return showProblem(say("This did not work"), say("You were not charged. Try again in a moment."));
    const confirmParams = { return_url: returnUrl };
    await follow(() => stripe.confirmPayment({ elements, confirmParams, redirect: "if_required" }), attempt);
  }

  // Recorded beforehand, so that no page says "not charged" if this one never gets the result.
  async function announceAttempt() {
    try {
      const reply = await fetchInTime(form.dataset.attempt, { method: "POST", body: new FormData(form) });
      // the order has ended, another tab is paying, or the session has ended or is another one by now
      if (reply.redirected || [403, 409].includes(reply.status)) {
        location.replace(form.dataset.order);
        return null;
      }
      return reply.ok ? (await reply.json()).attempt : 0;
    } catch {
      return 0;
    }
  }

  async function challenge(paymentIntent) {
    history.replaceState(null, "", form.dataset.order); // a reload does not repeat it
    if (paymentIntent?.status !== "requires_action") return;
    busy(say("Waiting for your bank…"));
    await follow(() => stripe.handleNextAction({ clientSecret }));
  }

  const FINAL_ERRORS = ["card_error", "invalid_request_error", "validation_error"];

  async function follow(pay, attempt) {
    const { error } = await pay().catch(() => ({ error: { type: "api_error" } }));
    if (!error || error.code === "payment_intent_unexpected_state") return leave();
    if (!FINAL_ERRORS.includes(error.type) || error.code === "lock_timeout") return leave(); // the outcome is unknown
    await explain(error, attempt);
  }

  async function explain(error, attempt) {
    let now;
    const query = attempt ? `?ask&answered=${attempt}` : "?ask";
    try {
      now = await (await fetchInTime(form.dataset.progress + query, { headers: { Accept: "application/json" } })).json();
    } catch {
      return leave();
    }
    if (now.stage !== "pay") return location.replace(form.dataset.order);
    if (now.declines > Number(form.dataset.declines)) {
      form.dataset.declines = now.declines;
      return showProblem(say("The payment did not go through"), now.problem);
    }
    if (error.code === "payment_intent_authentication_failure") {
      return showProblem(say("Your bank did not confirm it is you"), say("You were not charged. Try again, or use another card."));
    }
    showProblem(say("This did not work"), `${error.message} ${say("You were not charged.")}`);
  }

  form.addEventListener("submit", (event) => {
    if (form.dataset.underWay !== undefined) return event.preventDefault();
    problem.hidden = true;
    if (!entersCard()) return busy(button.dataset.busy); // a test card: the form itself is sent
    event.preventDefault();
    if (!elements) return (status.textContent = say("The card form is still being loaded."));
    busy(button.dataset.busy);
    confirm();
  });

  const hint = document.createElement("p");
  Object.assign(hint, { className: "hint", textContent: say("The card form is being loaded…") });
  place.append(hint);
  const show = () => (place.hidden = !entersCard());
  if (testCards) testCards.open = choices.some((choice) => choice.checked && choice.value);
  for (const choice of choices) choice.addEventListener("change", show);
  testCards?.querySelector("summary").addEventListener("click", () => { // the tab key only reaches the chosen card
    if (ownCard.hidden) return;
    (testCards.open ? ownCard : testCards).querySelector("input").checked = true;
    show();
  });
  if (ownCard) {
    ownCard.hidden = false;
    if (!choices.some((choice) => choice.checked)) ownCard.querySelector("input").checked = true;
  }
  show();
  form.dataset.scripted = "";
  start().catch(unavailable);
})();
