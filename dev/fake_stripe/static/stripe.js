// The part of Stripe.js (v3) that a card payment page uses, against the fake Stripe that served this file.
(() => {
  "use strict";
  const ORIGIN = new URL(document.currentScript.src).origin;

  async function call(key, method, path, params = {}) {
    const form = new URLSearchParams(params);
    const address = ORIGIN + path + (method === "GET" ? "?" + form : "");
    const headers = { Authorization: "Bearer " + key };
    const body = method === "GET" ? undefined : form;
    try {
      const reply = await (await fetch(address, { method, headers, body })).json();
      return reply.error ? { error: reply.error } : { paymentIntent: reply };
    } catch (problem) {
      return { error: { type: "api_connection_error", message: "We could not reach the payment service. Please try again." } };
    }
  }

  const intentOf = (clientSecret) => "/v1/payment_intents/" + String(clientSecret).split("_secret_")[0];

  function retrieve(key, clientSecret) {
    return call(key, "GET", intentOf(clientSecret), { client_secret: clientSecret });
  }

  class PaymentElement {
    constructor(elements, options) {
      this.elements = elements;
      this.options = options;
      this.listeners = {};
      this.answers = new Map();
      this.connected = new Promise((resolve) => (this.connect = resolve));
    }

    mount(where) {
      const place = typeof where === "string" ? document.querySelector(where) : where;
      if (!place) throw new Error(`IntegrationError: no element found for ${where}`);
      this.frame = document.createElement("iframe");
      const { locale } = this.elements.options;
      this.frame.title = locale === "de" ? "Kartendaten (Simulation)" : "Card details (simulation)";
      this.frame.src = ORIGIN + "/v3/payment-element?locale=" + locale;
      Object.assign(this.frame.style, { border: "0", width: "100%", height: "250px", display: "block", colorScheme: "light" }); // else no transparency
      this.frame.addEventListener("load", () => this.open());
      place.replaceChildren(this.frame);
      return this;
    }

    open() {
      const channel = new MessageChannel();
      this.port = channel.port1;
      this.port.onmessage = (message) => this.receive(message.data);
      const { clientSecret, appearance } = this.elements.options;
      this.frame.contentWindow.postMessage({ clientSecret, appearance }, ORIGIN, [channel.port2]);
      this.connect();
    }

    receive({ id, answer, event, details }) {
      if (event === "height") this.frame.style.height = details + "px";
      else if (event === "submit") this.frame.closest("form")?.requestSubmit();
      else if (event) this.emit(event, details);
      else {
        this.answers.get(id)(answer);
        this.answers.delete(id);
      }
    }

    async ask(question, details) {
      await this.connected;
      const id = crypto.getRandomValues(new Uint32Array(1))[0];
      return new Promise((resolve) => {
        this.answers.set(id, resolve);
        this.port.postMessage({ id, question, details });
      });
    }

    emit(event, details) {
      for (const listener of this.listeners[event] || []) listener({ elementType: "payment", ...details });
    }

    on(event, listener) {
      (this.listeners[event] ||= []).push(listener);
      return this;
    }

    off(event, listener) {
      this.listeners[event] = (this.listeners[event] || []).filter((one) => one !== listener);
      return this;
    }

    focus() { this.ask("focus"); }
    update(options) { Object.assign(this.options, options); }
    unmount() { this.frame?.remove(); }
    destroy() { this.unmount(); this.elements.element = null; }
  }

  class Elements {
    constructor(options = {}) {
      this.options = options;
      this.element = null;
    }

    create(type, options = {}) {
      if (type !== "payment") throw new Error(`IntegrationError: the fake Stripe has the payment element only, not ${type}`);
      if (this.element) throw new Error("IntegrationError: Can only create one Element of type payment through Elements().");
      return (this.element = new PaymentElement(this, options));
    }

    getElement() { return this.element; }
    update(options) { Object.assign(this.options, options); }
    async fetchUpdates() { return {}; }
    async submit() { return this.element ? this.element.ask("validate") : {}; }
  }

  function challenge(address, locale) {
    const shade = document.createElement("dialog"); // keeps the focus inside, and gives it back
    const frame = document.createElement("iframe");
    Object.assign(shade.style, {
      position: "fixed", inset: "0", width: "100vw", height: "100vh", maxWidth: "none", maxHeight: "none", margin: "0",
      padding: "0", border: "0", boxSizing: "border-box", background: "rgba(0, 0, 0, .6)", display: "grid", placeItems: "center",
    });
    Object.assign(frame.style, { border: "0", width: "min(400px, 95vw)", height: "360px", background: "white", borderRadius: "8px" });
    frame.title = "3-D Secure (simulation)";
    frame.src = address + "&frame=1&locale=" + locale;
    shade.setAttribute("aria-label", frame.title);
    shade.append(frame);
    document.body.append(shade);
    shade.showModal();
    frame.addEventListener("load", () => frame.focus(), { once: true });
    return new Promise((resolve) => {
      const close = () => {
        window.removeEventListener("message", listener);
        shade.close();
        shade.remove();
        resolve();
      };
      const refuse = () => fetch(frame.src, { method: "POST", mode: "no-cors", body: new URLSearchParams({ outcome: "fail" }) }).finally(close);
      const listener = (message) => {
        if (message.origin !== ORIGIN || message.source !== frame.contentWindow) return;
        if (message.data === "3d-secure-done") close();
        if (message.data === "3d-secure-escape") refuse();
      };
      window.addEventListener("message", listener);
      shade.addEventListener("cancel", (event) => (event.preventDefault(), refuse())); // Escape
    });
  }

  async function finish(key, locale, clientSecret, result) {
    const action = result.paymentIntent?.next_action;
    if (!action) return result;
    await challenge(action.use_stripe_sdk?.stripe_js || action.redirect_to_url.url, locale);
    const { paymentIntent, error } = await retrieve(key, clientSecret);
    if (error) return { error };
    if (paymentIntent.status !== "requires_payment_method") return { paymentIntent };
    return { error: { ...paymentIntent.last_payment_error, payment_intent: paymentIntent } };
  }

  function goTo(returnUrl, paymentIntent) {
    const address = new URL(returnUrl);
    address.searchParams.set("payment_intent", paymentIntent.id);
    address.searchParams.set("payment_intent_client_secret", paymentIntent.client_secret);
    address.searchParams.set("redirect_status", "succeeded");
    window.location.assign(address);
    return new Promise(() => {}); // the page is leaving
  }

  window.Stripe = function Stripe(publishableKey, { locale = "auto" } = {}) {
    if (!/^pk_test_/.test(publishableKey)) throw new Error("IntegrationError: the fake Stripe takes publishable test keys (pk_test_…) only.");
    const key = publishableKey;
    return {
      elements: (options) => new Elements({ locale, ...options }),
      retrievePaymentIntent: (clientSecret) => retrieve(key, clientSecret),

      async confirmPayment({ elements, clientSecret, confirmParams = {}, redirect = "always" }) {
        const secret = clientSecret || elements?.options.clientSecret;
        const { return_url: returnUrl, payment_method: method } = confirmParams;
        if (!secret) throw new Error("IntegrationError: confirmPayment needs elements made with a clientSecret, or a clientSecret.");
        if (!returnUrl && redirect !== "if_required") throw new Error("IntegrationError: confirmParams.return_url is required.");
        const params = { client_secret: secret, use_stripe_sdk: "true", ...(returnUrl && { return_url: returnUrl }) };
        const confirmed = method
          ? await call(key, "POST", intentOf(secret) + "/confirm", { ...params, payment_method: method })
          : await elements.getElement().ask("confirm", { key, path: intentOf(secret) + "/confirm", params });
        const result = await finish(key, locale, secret, confirmed);
        return result.error || redirect === "if_required" ? result : goTo(returnUrl, result.paymentIntent);
      },

      async handleNextAction({ clientSecret }) {
        return finish(key, locale, clientSecret, await retrieve(key, clientSecret));
      },
    };
  };
  window.Stripe.version = 3;
})();
