"""The payment page in each of its states, without JavaScript, and the responses to its script."""

import re
from datetime import UTC, datetime, timedelta
from unittest.mock import Mock

import pytest

from gateway import checkout
from gateway.tests.conftest import create_test_app
from gateway.tests.test_pages import page_text
from libs.clock import iso
from libs.rpc import RemoteError, ServiceUnavailable

CARD = "/api/orders/{}/payment-intent"
CAPTURED = "2026-11-22T10:30:00.000Z"


@pytest.fixture
def order(bo, ticket):
    return bo.post("/api/orders", json={"ticketId": ticket["id"]}).json


@pytest.fixture
def page(order):
    return f"/orders/{order['id']}"


@pytest.fixture
def stored(services, order):
    """The order as its service has it."""
    return services.orders[order["id"]]


def policy(client):
    """Return the sources that the policy of a page allows, by directive."""
    header = client.get("/").headers["Content-Security-Policy"]
    return {name: sources.split() for name, _, sources in (part.strip().partition(" ") for part in header.split(";"))}


def test_card_form_gets_its_secret_and_key(bo, order):
    answer = bo.post(CARD.format(order["id"]))

    assert answer.status_code == 200
    assert answer.json == {"clientSecret": "pi_1_secret_1", "publishableKey": "pk_test_ticketing"}


def test_card_form_opens_only_for_the_buyer(ana, client, order):
    answers = [who.post(CARD.format(order["id"])).status_code for who in (ana, client)]

    assert answers == [403, 401]


def test_card_form_is_refused_when_paying_is(bo, order, services):
    unknown = bo.post(CARD.format("0" * 24)).status_code
    malformed = bo.post(CARD.format("x")).status_code
    services.end(services.orders[order["id"]], "expired")
    over = bo.post(CARD.format(order["id"])).status_code
    services.unavailable.add("payments")
    away = bo.post(CARD.format(order["id"]))

    assert (unknown, malformed, over, away.status_code) == (404, 404, 409, 503)
    assert away.headers["Retry-After"]


def test_page_has_the_address_of_stripe_js(bo, page):
    assert 'data-stripe="http://127.0.0.1:12111/v3/"' in bo.get(page).text


def test_real_cards_need_the_card_form_and_the_rest_of_the_page_does_not(services, revocations, ticket):
    real = create_test_app(services, revocations, STRIPE_API_BASE="").test_client()
    real.post("/api/users/signup", json={"email": "cy@example.com", "password": "correct horse"})
    order = real.post("/api/orders", json={"ticketId": ticket["id"]}).json

    shown = real.get(f"/orders/{order['id']}").text

    assert 'data-stripe="https://js.stripe.com/v3/"' in shown
    assert "needs JavaScript" in shown and "Cancel the order" in shown and "tok_visa" not in shown


def test_policy_allows_only_the_fake_stripe(client):
    allowed = policy(client)

    assert allowed["script-src"] == allowed["connect-src"] == ["'self'", "http://127.0.0.1:12111"]
    assert allowed["frame-src"] == ["http://127.0.0.1:12111"]
    assert "stripe.com" not in str(allowed) and "unsafe" not in str(allowed)


def test_policy_allows_the_real_stripe_when_cards_are_real(services, revocations):
    allowed = policy(create_test_app(services, revocations, STRIPE_API_BASE="").test_client())

    assert allowed["script-src"] == ["'self'", "https://js.stripe.com", "https://*.js.stripe.com"]
    assert allowed["connect-src"] == ["'self'", "https://api.stripe.com"]
    assert allowed["frame-src"] == ["https://js.stripe.com", "https://*.js.stripe.com", "https://hooks.stripe.com"]
    assert "127.0.0.1" not in str(allowed) and "unsafe" not in str(allowed)


def test_return_from_the_card_form_refreshes_from_stripe_and_shows_the_receipt(bo, order, page, services):
    bo.post(CARD.format(order["id"]))
    services.paid_in_browser.add(order["id"])

    answers = [bo.get(f"{page}/return") for _ in range(2)]

    assert [(answer.status_code, answer.headers["Location"]) for answer in answers] == [(303, page)] * 2
    assert "The ticket is yours" in page_text(bo, page)


def test_secret_that_stripe_adds_to_the_url_does_not_stay_there(bo, page):
    answer = bo.get(f"{page}/return?payment_intent_client_secret=pi_1_secret_1&redirect_status=failed")

    assert (answer.status_code, answer.headers["Location"]) == (303, f"{page}/return")


def test_return_without_a_charge_says_so(bo, order, page):
    bo.post(CARD.format(order["id"]))

    bo.get(f"{page}/return")

    assert "You were not charged. You can pay now" in page_text(bo, page)


def test_page_that_waited_for_a_payment_that_came_to_nothing_says_not_charged(bo, order, page, services):
    bo.post(CARD.format(order["id"]))
    services.payments[order["id"]]["is_confirming"] = True
    following = re.search(r'data-order="([^"]*)"', bo.get(page).text).group(1)  # where the script goes on
    services.payments[order["id"]]["is_confirming"] = False

    answer = bo.get(following)

    assert answer.status_code == 303
    assert "You were not charged. You can pay now" in page_text(bo, answer.headers["Location"])


def test_return_without_a_payment_leads_to_the_order(bo, page):
    assert bo.get(f"{page}/return").headers["Location"] == page


@pytest.mark.parametrize("lost", ["payments", "stripe"])
def test_return_says_only_confirming_while_the_outcome_is_unknown(bo, order, page, services, lost):
    bo.post(CARD.format(order["id"]))
    services.unavailable |= {lost}
    services.stripe_is_down = lost == "stripe"

    shown = bo.get(f"{page}/return")

    assert shown.status_code == 200
    assert "We are confirming your payment" in shown.text and "Do not pay again." in shown.text
    assert "data-pay" not in shown.text and "not charged" not in shown.text and "failed" not in shown.text
    assert bo.get(f"{page}/progress?ask").json["stage"] == "confirming"


def test_payment_without_a_reply_leads_to_confirming_and_then_to_the_outcome(bo, page, services):
    shown = bo.get(page).text
    token = re.search(r'name="csrf_token" value="([^"]*)"', shown).group(1)
    services.unavailable.add("payments")

    sent = bo.post(f"{page}/pay", data={"csrf_token": token, "token": "tok_visa"})
    waiting = page_text(bo, sent.headers["Location"])
    services.unavailable.clear()
    known = bo.get(sent.headers["Location"])

    assert (sent.status_code, sent.headers["Location"]) == (303, f"{page}/return")
    assert "We are confirming your payment" in waiting
    assert (known.status_code, known.headers["Location"]) == (303, page)


def test_api_calls_no_payment_a_failure_when_payments_does_not_reply(bo, order, services):
    pay = services.payments_pay

    def pay_and_lose_the_reply(caller, **arguments):
        pay(caller, **arguments)
        raise ServiceUnavailable("no answer in time")

    services.payments_pay = pay_and_lose_the_reply

    answer = bo.post("/api/payments", json={"orderId": order["id"], "token": "tok_visa"})

    message = answer.json["errors"][0]["message"]
    assert (answer.status_code, bool(answer.headers["Retry-After"])) == (503, True)
    assert "confirming" in message and "Do not pay again" in message
    assert "failed" not in message and "not charged" not in message and "not been charged" not in message


def test_buyer_may_pay_again_when_payments_replies_that_it_could_not_begin(bo, order, page, services, monkeypatch):
    refused = Mock(side_effect=ServiceUnavailable("payments.pay: no database", is_reply=True))
    with monkeypatch.context() as away:
        away.setattr(services, "payments_pay", refused)
        api = bo.post("/api/payments", json={"orderId": order["id"], "token": "tok_visa"})
        sent = bo.submit(page, f"{page}/pay", token="tok_visa")

    shown = page_text(bo, page)

    assert (api.status_code, api.headers["Retry-After"]) == (503, "60")
    assert (sent.status_code, sent.headers["Location"]) == (303, page)
    for text in (api.json["errors"][0]["message"], shown):
        assert "Try again in a few minutes: you are never charged twice." in text
    assert "Do not pay again" not in shown and "Pay $19.99" in shown


def test_payment_form_is_not_shown_while_payments_is_unavailable(bo, page, services):
    services.unavailable.add("payments")

    shown = bo.get(page).text

    assert "do not pay again" in shown and "data-pay" not in shown and 'data-stage="unavailable"' in shown


def test_unavailable_stripe_is_explained_on_the_order(bo, page, services):
    services.stripe_is_down = True
    bo.submit(page, f"{page}/pay", token="tok_visa")

    shown = page_text(bo, page)

    assert "Card payments are not possible at the moment." in shown and "Pay $19.99" in shown


def test_confirming_page_refreshes_from_stripe_without_javascript_too(bo, page, stored):
    stored["status"] = "awaiting_payment"

    shown = bo.get(page).text

    assert f'http-equiv="refresh" content="5; url={page}/return"' in shown
    assert f'data-follow="{page}/progress"' in shown


def test_page_that_has_stripe_asked_too_often_goes_on_and_claims_nothing(bo, order, page, services):
    bo.post(CARD.format(order["id"]))
    services.is_asked_too_often = True

    shown = bo.get(f"{page}/return")

    assert bo.get(f"{page}/progress?ask").json["stage"] == "confirming"
    assert shown.status_code == 200 and "Do not pay again." in shown.text and "not charged" not in shown.text


def test_script_gets_a_decline_with_the_message_of_the_page(bo, page):
    bo.submit(page, f"{page}/pay", token="tok_chargeDeclinedInsufficientFunds")

    shown = bo.get(f"{page}/progress?ask").json

    assert (shown["stage"], shown["declines"]) == ("pay", 1)
    assert shown["problem"] == "Your card has insufficient funds. You were not charged. You have 2 tries left."
    assert shown["problem"] in page_text(bo, page)


def test_progress_is_shown_only_to_the_buyer(ana, client, page):
    assert ana.get(f"{page}/progress").status_code == 403
    assert client.get(f"{page}/progress").status_code == 303


def test_last_decline_shows_the_order_cancelled_before_orders_has_its_event(bo, order, page, services):
    bo.post(CARD.format(order["id"]))
    services.payments[order["id"]].update(status="cancelled", declines=3, remaining=0, decline_message="Ended.")

    shown = page_text(bo, page)

    assert "This order is cancelled" in shown and "You were not charged." in shown and "Reserve again" in shown
    assert "Ended. After 3 declined cards an order ends" in shown


def test_card_that_needs_3d_secure_leads_to_the_challenge_or_says_it_needs_javascript(bo, page):
    sent = bo.submit(page, f"{page}/pay", token="tok_threeDSecure2Required")

    shown = bo.get(sent.headers["Location"]).text

    assert sent.headers["Location"] == f"{page}?challenge=1"
    assert "data-challenge" in shown and "needs JavaScript" in shown and "secret" not in shown


def test_abandoned_challenge_can_be_continued_and_no_page_says_not_charged(bo, order, page, services):
    bo.post(CARD.format(order["id"]))
    services.payments[order["id"]]["is_challenged"] = True

    answer = bo.get(f"{page}/return")
    shown = bo.get(page).text

    assert (answer.status_code, answer.headers["Location"]) == (303, page)
    assert "Your bank has not confirmed this payment yet." in shown and f'href="{page}?challenge=1"' in shown
    assert "data-pay" in shown and "not charged" not in shown


def test_receipt_says_when_it_was_paid_whatever_happens_later(bo, page, services, order, stored):
    bo.submit(page, f"{page}/pay", token="tok_visa")
    stored.update(refunded_at="2026-11-25T08:00:00.000Z", updated_at="2026-11-25T08:00:00.000Z", refunded_cents=1999)
    services.payments[order["id"]].update(status="refunded", updated_at="2026-11-25T08:00:00.000Z")

    receipt = page_text(bo, page)

    assert "Paid Sun, 22 Nov 2026, 10:30 UTC" in receipt
    assert "Refunded $19.99, Wed, 25 Nov 2026, 08:00 UTC" in receipt and "The ticket is yours" not in receipt


def test_refunded_order_is_not_listed_as_paid_nor_as_a_ticket(bo, page, stored):
    bo.submit(page, f"{page}/pay", token="tok_visa")
    stored.update(refunded_at="2026-11-25T08:00:00.000Z", refunded_cents=1999)

    listed = page_text(bo, "/my/tickets")

    assert "$19.99 Refunded Receipt" in listed and "Paid" not in listed


@pytest.mark.parametrize("status", ["complete", "cancelled", "awaiting_payment"])
def test_who_writes_to_us_about_an_order_finds_its_number_on_the_page(bo, page, stored, status):
    stored.update(status=status, cancel_reason="expired" if status == "cancelled" else None)

    shown = bo.get(page).text

    assert f"<dt>Order number</dt><dd><code>{stored['id']}</code>" in shown
    asked = "Write to us within two days of the event" if status == "complete" else 'href="/about/contact">Write to us'
    assert asked in shown


def test_a_buyer_whose_card_stripe_refused_to_charge_reads_that_nothing_was_charged(bo, page, services, monkeypatch):
    monkeypatch.setattr(services, "payments_pay", Mock(side_effect=RemoteError("NothingCharged")))

    bo.submit(page, f"{page}/pay", token="tok_visa")

    assert "Your card was not charged" in page_text(bo, page)


@pytest.mark.parametrize("lost", [set(), {"payments"}])
def test_partial_refund_is_shown_and_the_ticket_stays_the_buyers(bo, page, services, stored, lost):
    bo.submit(page, f"{page}/pay", token="tok_visa")
    stored["refunded_cents"] = 500
    services.payments[stored["id"]].update(refunded_cents=500, refunded_at="2026-11-25T08:00:00.000Z")
    services.unavailable |= lost

    receipt = page_text(bo, page)

    when = "" if lost else " on Wed, 25 Nov 2026, 08:00 UTC"
    assert "The ticket is yours" in receipt and f"$5.00 of $19.99 was refunded{when}" in receipt
    assert "Partly refunded" in page_text(bo, "/my/tickets")
    assert bo.get(f"/api/orders/{stored['id']}").json["refundedAmount"] == 5.0


@pytest.mark.parametrize(
    ("payment", "heading", "sentence"),
    [
        ({"refunding_cents": 1999}, "Your refund is on its way", "$19.99 is going back to your card."),
        ({"refunding_cents": 500}, "The ticket is yours", "$5.00 is on its way back to your card."),
        ({"has_refund_failed": True}, "The ticket is yours", "Your bank did not accept a refund to your card."),
    ],
)
def test_pending_refund_is_not_shown_as_done(bo, page, services, stored, payment, heading, sentence):
    bo.submit(page, f"{page}/pay", token="tok_visa")
    services.payments[stored["id"]].update(payment)

    receipt = page_text(bo, page)

    assert heading in receipt and sentence in receipt and "was refunded" not in receipt


@pytest.mark.parametrize(
    "said", [{}, {"refunded_at": "2026-11-25T08:00:00.000Z", "refunded_cents": 1999}], ids=["at once", "later"]
)
def test_failed_refund_is_shown_and_not_as_done(bo, page, services, stored, said):
    bo.submit(page, f"{page}/pay", token="tok_visa")
    stored.update(said)
    services.payments[stored["id"]].update(has_refund_failed=True, has_full_refund_failed=True)

    receipt = page_text(bo, page)

    assert "Your refund did not arrive" in receipt and "we are dealing with it" in receipt
    assert "was refunded" not in receipt


def test_of_a_refund_that_came_back_in_part_the_rest_is_not_said_to_have_failed(bo, page, services, stored):
    bo.submit(page, f"{page}/pay", token="tok_visa")
    stored.update(refunded_cents=1499)
    services.payments[stored["id"]].update(has_refund_failed=True, has_full_refund_failed=True)

    assert "A part of your refund did not arrive" in page_text(bo, page)


@pytest.mark.parametrize(
    ("payment", "sentence"),
    [
        ({"status": "captured"}, "Your payment is being refunded."),
        ({"status": "captured", "has_refund_failed": True}, "Your bank did not accept the refund"),
        ({"status": "cancelled", "refunded_cents": 500}, "What was taken has been refunded."),
        ({"status": "captured", "refunded_cents": 500}, "Your payment is being refunded."),
        (
            {"status": "captured", "refunded_cents": 500, "has_refund_failed": True},
            "Your bank did not accept the refund",
        ),
        ({"status": "authorized", "refunding_cents": 500}, "Your payment is being refunded."),
    ],
)
def test_cancelled_order_says_what_happens_to_the_money(bo, order, page, services, stored, payment, sentence):
    bo.post(CARD.format(order["id"]))
    services.end(stored, "payment_failed")
    services.payments[order["id"]].update(payment)

    shown = page_text(bo, page)

    assert sentence in shown and "You were not charged" not in shown


def test_receipt_is_shown_while_payments_is_unavailable(bo, page, services):
    bo.submit(page, f"{page}/pay", token="tok_visa")
    services.unavailable.add("payments")

    assert "The ticket is yours" in page_text(bo, page)


def test_dispute_is_not_shown_to_the_buyer(bo, page, services, order):
    bo.submit(page, f"{page}/pay", token="tok_visa")
    services.payments[order["id"]]["dispute"] = {"id": "du_1", "status": "needs_response", "reason": "fraudulent"}

    receipt = page_text(bo, page)

    assert "The ticket is yours" in receipt and "disput" not in receipt.lower() and "fraud" not in receipt.lower()


def test_deadline_is_shown_as_a_time_without_a_script(bo, page, order):
    shown = bo.get(page).text

    assert f'data-deadline="{order["expiresAt"]}"' in shown and 'role="timer" hidden' in shown
    assert re.search(r"Reserved for you until <time[^>]*>(today|tomorrow) \d\d:\d\d UTC", shown)


def test_return_stops_waiting_for_the_outcome_in_time(bo, order, page, services, monkeypatch):
    monkeypatch.setattr(checkout, "OUTCOME_SECONDS", 0)
    services.completes_at_once = False
    bo.post(CARD.format(order["id"]))
    services.paid_in_browser.add(order["id"])

    assert "We are confirming your payment" in bo.get(f"{page}/return").text


def test_failed_challenge_is_shown_and_not_counted_as_a_try(bo, page, services):
    def fail_the_challenge(caller, order_id, token):
        details = {"decline_code": "payment_intent_authentication_failure", "remaining": 3}
        raise RemoteError("PaymentDeclined", "Your bank could not confirm that it is you.", details)

    services.payments_pay = fail_the_challenge

    bo.submit(page, f"{page}/pay", token="tok_visa")

    shown = page_text(bo, page)
    assert "Your bank could not confirm that it is you." in shown and "left." not in shown and "Pay $19.99" in shown


def test_failed_challenge_is_shown_after_a_decline_too_and_a_decline_only_once(bo, page, services):
    bo.submit(page, f"{page}/pay", token="tok_chargeDeclinedExpiredCard")
    first, details = page_text(bo, page), {"decline_code": "payment_intent_authentication_failure", "remaining": 2}
    services.payments_pay = Mock(side_effect=RemoteError("PaymentDeclined", "Not confirmed.", details))

    bo.submit(page, f"{page}/pay", token="tok_visa")

    assert first.count("Your card has expired.") == 1
    assert "Not confirmed." in page_text(bo, page)


def test_once_an_attempt_is_announced_no_page_says_not_charged_before_stripe_does(bo, page):
    token = re.search(r'name="csrf_token" value="([^"]+)"', bo.get(page).text).group(1)

    refused = bo.post(f"{page}/attempt")
    attempt = bo.post(f"{page}/attempt", data={"csrf_token": token}).json["attempt"]
    meanwhile = page_text(bo, f"{page}/return")
    answered = bo.get(f"{page}/progress?ask&answered={attempt}").json

    assert refused.status_code == 403
    assert "confirming your payment" in meanwhile and "not charged" not in meanwhile
    assert answered["stage"] == "pay"


def test_card_sent_for_an_order_that_is_cancelled_leads_to_one_answer_about_the_money(bo, ticket):
    page = bo.submit(f"/tickets/{ticket['id']}", f"/tickets/{ticket['id']}/buy").headers["Location"]
    token = re.search(r'name="csrf_token" value="([^"]*)"', bo.get(page).text).group(1)
    bo.delete(f"/api{page}")

    shown = bo.post(f"{page}/pay", data={"csrf_token": token, "token": "tok_visa"}, follow_redirects=True).text

    assert "You were not charged." in shown and "anything was taken" not in shown


@pytest.mark.parametrize("reason", ["buyer", "expired", "payment_failed", "operator"])
def test_order_whose_money_went_back_does_not_say_that_it_was_not_paid(bo, ticket, services, reason):
    page = bo.submit(f"/tickets/{ticket['id']}", f"/tickets/{ticket['id']}/buy").headers["Location"]
    order = services.end(services.orders[page.rpartition("/")[2]], reason)
    services.payments[order["id"]] = services._new_payment(order) | {"status": "refunded"}

    shown = bo.get(page).text

    assert "What was taken has been refunded." in shown
    assert "not paid in time" not in shown and "did not succeed" not in shown and "not charged" not in shown


def test_time_to_pay_is_extended_without_javascript_in_its_last_two_minutes(bo, page, order, stored):
    early = bo.get(page).text
    stored["expires_at"] = iso(datetime.now(UTC) + timedelta(minutes=1))
    offer = re.compile(r'<form class="extend"[^>]*data-extend>')

    shown = bo.get(page).text
    answer = bo.submit(page, f"{page}/extend")

    assert not offer.search(early) and "reload this page then" in early and offer.search(shown)
    after = bo.get(answer.headers["Location"]).text
    assert "You have five more minutes to pay." in after and "data-extend" not in after
    assert bo.get(f"/api/orders/{order['id']}").json["isExtendable"] is False


def test_who_extends_too_early_reads_why_not(bo, order, page):
    refused = bo.post(f"/api/orders/{order['id']}/extend")

    assert (refused.status_code, refused.json["errors"][0]["message"]) == (
        409,
        "The time to pay can be extended in its last two minutes.",
    )
    bo.submit(page, f"{page}/extend")
    assert "can be extended in its last two minutes" in page_text(bo, page)
