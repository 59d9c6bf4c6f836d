"""A page under a strict content security policy pays with the stand-in for Stripe.js, as it would with the real one."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dev.fake_stripe.languages import GERMAN, LANGUAGES
from dev.fake_stripe.testing import PUBLISHABLE_KEY

PAGE = """<!doctype html><title>Pay</title>
<form><div id="card"></div><button id="pay">Pay</button></form><p id="outcome"></p>
<script src="{fake}/v3/"></script><script src="/page.js"></script>"""
SCRIPT = """
const [secret, redirect, locale] = location.hash.slice(1).split(",");
const stripe = Stripe("{key}", {{ locale }});
const elements = stripe.elements({{ clientSecret: secret, appearance: {{ theme: "stripe" }} }});
const card = elements.create("payment", {{ layout: "tabs" }});
const say = (text) => (document.getElementById("outcome").textContent = text);
card.on("ready", () => say("ready"));
card.mount("#card");
document.querySelector("form").addEventListener("submit", async (event) => {{
  event.preventDefault();
  const {{ error: invalid }} = await elements.submit();
  if (invalid) return say(invalid.code);
  const confirmParams = {{ return_url: location.origin + "/done?order=1" }};
  const {{ error, paymentIntent }} = await stripe.confirmPayment({{ elements, confirmParams, redirect }});
  say(error ? error.decline_code || error.code : paymentIntent.status);
}});
"""


@pytest.fixture(scope="module")
def shop(_fake):
    csp = f"default-src 'none'; script-src 'self' {_fake.url}; connect-src {_fake.url}; frame-src {_fake.url}"

    class Shop(BaseHTTPRequestHandler):
        def do_GET(self):
            body, kind = PAGE.format(fake=_fake.url), "text/html"
            if self.path == "/page.js":
                body, kind = SCRIPT.format(key=PUBLISHABLE_KEY), "text/javascript"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Security-Policy", csp)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def pay(browser, shop, new_intent, intents):
    """Open the shop's page on a new PaymentIntent, fill in a card and press Pay; returns page and PaymentIntent."""
    page = browser.new_page()
    complaints = []
    page.on("console", lambda message: complaints.append(message.text) if "Content Security" in message.text else None)

    def act(number, redirect="if_required", intent=None, key=None, locale="en"):
        intent = intent or new_intent(automatic_payment_methods={"enabled": True})
        page.goto(f"{shop}/#{intent.client_secret},{redirect},{locale}")
        said = {**{text: text for text in GERMAN}, **LANGUAGES[locale]}.get
        form = page.frame_locator("#card iframe")
        form.get_by_label(said("Card number")).fill(number)
        form.get_by_label(said("Expiration date")).fill("12 / 34")
        form.get_by_label(said("Security code")).fill("123")
        if key:
            form.get_by_label(said("Security code")).press(key)
        else:
            page.click("#pay")
        return page, intent

    yield act
    assert complaints == []
    page.close()


def outcome(page, text):
    page.locator("#outcome", has_text=text).wait_for(timeout=5000)


def test_card_pays_without_leaving_the_page(pay, intents):
    page, intent = pay("4242424242424242")

    outcome(page, "requires_capture")
    assert intents.retrieve(intent.id).status == "requires_capture"


def test_enter_in_the_card_form_pays(pay):
    page, _ = pay("4242424242424242", key="Enter")

    outcome(page, "requires_capture")


@pytest.mark.parametrize("inside", [True, False])
def test_escape_closes_the_challenge_unpaid_and_gives_the_focus_back(pay, intents, inside):
    page, intent = pay("4000002760003184")
    frame = page.frame_locator("iframe[title^='3-D Secure']")
    frame.get_by_role("button", name="Complete").wait_for()
    assert page.evaluate("document.activeElement.closest('dialog[open]') !== null")
    for _ in range(5):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.matches('body, dialog, dialog *')"), "focus is behind the dialog"

    if inside:
        frame.get_by_role("button", name="Complete").press("Escape")
    else:
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("Escape")

    outcome(page, "payment_intent_authentication_failure")
    assert page.locator("dialog").count() == 0 and page.evaluate("document.activeElement.id") == "pay"
    assert intents.retrieve(intent.id).status == "requires_payment_method"


def test_page_is_left_for_the_return_address_when_it_always_redirects(pay):
    page, intent = pay("4242424242424242", redirect="always")

    page.wait_for_url("**/done?order=1&payment_intent=*", timeout=5000)
    assert "redirect_status=succeeded" in page.url and intent.client_secret in page.url


def test_decline_is_shown_and_another_card_may_pay(pay, intents):
    page, intent = pay("4000000000009995")
    outcome(page, "insufficient_funds")

    page.frame_locator("#card iframe").get_by_label("Card number").fill("5555555555554444")
    page.click("#pay")

    outcome(page, "requires_capture")


def test_mistyped_number_is_shown_before_anything_is_sent(pay, fake):
    page, intent = pay("4242424242424241")

    outcome(page, "invalid_number")
    assert fake.ledger()[0]["charges"] == []


def test_card_form_and_challenge_speak_the_language_of_the_page(pay):
    page, intent = pay("4242424242424241", locale="de")
    form = page.frame_locator("iframe[title='Kartendaten (Simulation)']")
    form.get_by_text("Die Kartennummer ist ungültig.").wait_for()

    form.get_by_label("Kartennummer").fill("4000002760003184")
    page.click("#pay")
    page.frame_locator("iframe[title^='3-D Secure']").get_by_role("button", name="Freigeben").click()

    outcome(page, "requires_capture")


@pytest.mark.parametrize(
    ("button", "outcome_text"), [("Complete", "requires_capture"), ("Fail", "payment_intent_authentication_failure")]
)
def test_challenge_opens_over_the_page(pay, button, outcome_text):
    page, intent = pay("4000002760003184")

    page.frame_locator("iframe[title^='3-D Secure']").get_by_role("button", name=button).click()

    outcome(page, outcome_text)


def test_challenge_without_a_script_leads_back_to_the_return_address(browser, shop, new_intent, intents):
    confirm = {"payment_method": "pm_card_threeDSecure2Required", "return_url": f"{shop}/done?order=1"}
    intent = intents.confirm(new_intent().id, confirm)
    page = browser.new_context(java_script_enabled=False).new_page()

    page.goto(intent.next_action.redirect_to_url.url)
    page.get_by_role("button", name="Complete").click()

    assert "order=1" in page.url and "redirect_status=succeeded" in page.url
    assert intents.retrieve(intent.id).status == "requires_capture"
    page.context.close()
