import threading
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import timedelta
from unittest.mock import Mock

import pytest
import stripe
from pymongo.errors import AutoReconnect

from dev.fake_stripe.testing import SECRET_KEY
from libs.contracts.errors import NotOwner
from libs.events import VersionConflict
from payments import errors, retries
from payments.card_provider import API_VERSION, CardProvider, StripeBusy
from payments.recording import CONFIRM_PERIOD
from payments.refunds import refund
from tests.money.buyer import confirm
from tests.money.scenarios import BAD_CARD, after_next, awaited, before_next
from tests.money.test_endless import TOO_LITTLE

CHALLENGED = "pm_card_threeDSecure2Required"


def test_the_card_form_charges_nothing_and_is_the_same_when_opened_again(world, fake):
    order_id = world.reserve()

    forms = [world.checkout.open_form(order_id, "bo") for _ in range(2)]

    assert forms[0] == forms[1]
    assert forms[0]["publishable_key"].startswith("pk_")
    assert [intent["charges"] for intent in fake.ledger(order_id)] == [[]]
    assert not world.payment(order_id).confirming_at


def test_a_double_click_opens_one_card_form_even_while_stripe_is_busy(world, fake):
    order_id, forms = world.reserve(), []
    fault = {"status": 429, "type": "invalid_request_error", "code": "lock_timeout"}
    fake.control("faults", kind="error", path="/v1/payment_intents", **fault)

    before_next(world.store, "save", lambda: forms.append(world.checkout.open_form(order_id, "bo")))
    forms.append(world.checkout.open_form(order_id, "bo"))

    assert forms[0] == forms[1]
    assert len(fake.ledger(order_id)) == 1


@pytest.mark.parametrize(("act", "more"), [("open_form", []), ("announce", []), ("refresh", []), ("pay", ["tok_visa"])])
def test_nobody_else_pays_an_order_or_sees_its_payment(world, fake, act, more):
    order_id = world.reserve()

    with pytest.raises(NotOwner):
        getattr(world.checkout, act)(order_id, "cy", *more)

    assert fake.ledger(order_id) == []


def test_the_card_form_is_not_opened_for_a_cancelled_order(world):
    order_id = world.reserve()
    world.cancel(order_id)
    world.come_to_rest()

    with pytest.raises(errors.OrderCancelled):
        world.checkout.open_form(order_id, "bo")


def test_a_buyer_who_returns_from_the_card_form_sees_what_stripe_says(world, fake):
    order_id = world.reserve()
    confirm(world, fake, order_id)

    assert world.checkout.refresh(order_id, "bo")["status"] == "authorized"
    world.come_to_rest()
    assert world.order(order_id).status == "complete"


def test_a_buyer_who_returns_while_stripe_is_unreachable_sees_that_it_is_confirming(world, fake):
    order_id = world.reserve()
    confirm(world, fake, order_id)
    fake.control("faults", kind="error", path="/v1/payment_intents/pi_*", status=503, count=2)

    assert world.checkout.refresh(order_id, "bo")["is_confirming"]


def test_a_card_form_that_was_confirmed_without_any_webhook_is_found_by_the_reconciler(world, fake):
    order_id = world.reserve()
    confirm(world, fake, order_id)
    world.ahead += timedelta(seconds=61)

    world.reconciler.run()
    found = world.payment(order_id).status
    world.come_to_rest()

    assert (found, world.order(order_id).status) == ("authorized", "complete")


def test_a_card_that_needs_authentication_is_challenged_and_then_authorized(world, fake):
    order_id = world.reserve()

    with pytest.raises(errors.AuthenticationRequired) as challenge:
        world.pay(order_id, CHALLENGED)
    stripe_id = world.payment(order_id).stripe_id
    assert challenge.value.details["client_secret"].startswith(stripe_id)
    assert not world.payment(order_id).confirming_at

    fake.control("authenticate", payment_intent=stripe_id, outcome="complete")
    assert world.checkout.refresh(order_id, "bo")["status"] == "authorized"


@pytest.mark.parametrize("outcome", ["fail", None])
def test_after_a_failed_or_forgotten_challenge_another_card_pays(world, fake, outcome):
    order_id = world.reserve()
    with pytest.raises(errors.AuthenticationRequired):
        world.pay(order_id, CHALLENGED)
    if outcome:
        fake.control("authenticate", payment_intent=world.payment(order_id).stripe_id, outcome=outcome)

    assert world.pay(order_id, "pm_card_visa")["status"] in ("authorized", "captured")
    world.come_to_rest()
    assert list(world.faults()) == []


def test_a_payment_is_confirming_while_the_request_is_in_flight(world, fake):
    order_id = world.reserve()
    fake.control("faults", kind="slow", path="*/confirm", seconds=60)
    paying = threading.Thread(target=world.pay, args=(order_id,))
    paying.start()
    while not world.payment(order_id).confirming_at:
        paying.join(0.01)

    during = world.checkout.refresh(order_id, "bo")
    fake.control("faults", method="DELETE")
    paying.join()

    assert (during["status"], during["is_confirming"]) == ("open", True)
    assert not world.checkout.refresh(order_id, "bo")["is_confirming"]


def test_a_card_that_the_bank_is_still_processing_is_confirming_and_saved_once(world, fake, monkeypatch):
    order_id = world.reserve()
    confirm(world, fake, order_id)
    cards, version = world.settlement.cards, world.payment(order_id).version
    with monkeypatch.context() as thinking:
        seen = replace(cards.retrieve(world.payment(order_id).stripe_id), status="processing")
        thinking.setattr(cards, "retrieve", lambda stripe_id: seen)
        shown = [world.checkout.refresh(order_id, "bo") for _ in range(2)]

    assert [(one["is_confirming"], one["version"]) for one in shown] == [(True, version + 1)] * 2
    assert not world.checkout.refresh(order_id, "bo")["is_confirming"]
    world.come_to_rest()
    assert list(world.faults()) == []


def test_an_attempt_that_never_reached_stripe_stops_confirming_in_the_end(world, fake):
    order_id = world.reserve()
    fake.control("faults", kind="error", path="*/confirm", status=503, count=2, stored=False)
    assert world.pay(order_id)["is_confirming"]

    assert world.checkout.refresh(order_id, "bo")["is_confirming"]
    world.ahead += CONFIRM_PERIOD

    assert not world.checkout.refresh(order_id, "bo")["is_confirming"]
    assert world.pay(order_id)["status"] in ("authorized", "captured")


@pytest.mark.parametrize(
    "fault",
    [
        {"path": "*/confirm", "status": 429, "type": "rate_limit_error", "code": "rate_limit"},
        {"path": "*/confirm", "status": 401, "type": "invalid_request_error"},
        {"path": "*/confirm", "status": 400, "type": "invalid_request_error"},
        {"path": "/v1/payment_methods", "status": 500, "stored": True},
        {"path": "/v1/payment_methods", "status": 503, "count": 2},
    ],
)
def test_a_card_that_stripe_refused_to_charge_may_be_tried_again_at_once(world, fake, fault):
    order_id = world.reserve()
    fake.control("faults", kind="error", **fault)

    with pytest.raises(errors.NothingCharged):
        world.pay(order_id)

    assert not world.payment(order_id).confirming_at
    assert world.pay(order_id)["status"] == "authorized"


@pytest.mark.parametrize("is_kept", [False, True])
@pytest.mark.parametrize(("act", "more"), [("open_form", []), ("announce", []), ("pay", ["tok_visa"])])
@pytest.mark.parametrize(("code", "said"), [("amount_too_small", "too low"), ("odd", "cannot be paid by card")])
def test_a_buyer_whose_payment_stripe_refuses_to_take_is_told_so_and_may_try_again(
    world, fake, act, more, code, said, is_kept
):
    order_id = world.reserve()
    fake.control("faults", **{**TOO_LITTLE, "code": code, "count": 1, "stored": is_kept})

    with pytest.raises(errors.PaymentRefused, match=f"{said}.* You were not charged"):
        getattr(world.checkout, act)(order_id, "bo", *more)
    getattr(world.checkout, act)(order_id, "bo", *more)
    world.pay(order_id)
    world.come_to_rest()

    assert world.order(order_id).status == "complete"
    assert list(world.faults()) == []


def test_that_a_key_was_used_before_does_not_mean_that_there_is_no_payment_intent(world, fake):
    order_id = world.reserve()
    fake.control("faults", kind="lost_reply", path="/v1/payment_intents", count=2)
    with pytest.raises(errors.StripeUnavailable):
        world.pay(order_id)
    fake.control("faults", **{**TOO_LITTLE, "type": "idempotency_error", "code": None, "count": 1})
    with pytest.raises(errors.StripeUnavailable):
        world.pay(order_id)

    world.pay(order_id)
    world.come_to_rest()

    assert world.order(order_id).status == "complete"
    assert list(world.faults()) == []


@pytest.mark.parametrize("before", ["a lost reply", "another tab"])
def test_a_refusal_says_nothing_about_a_request_before_it(world, fake, before):
    order_id = world.reserve()
    if before == "another tab":
        world.checkout.announce(order_id, "bo")
    else:
        fake.control("faults", kind="lost_reply", path="*/confirm")
    fake.control("faults", kind="error", path="*/confirm", status=429, type="rate_limit_error", code="rate_limit")

    assert world.pay(order_id, "pm_card_visa")["is_confirming"]


@pytest.mark.parametrize(("card", "refused"), [("pm_card_visa", 429), ("pm_nonsense", None)])
def test_a_refusal_of_a_double_click_says_nothing_about_the_other_click(world, fake, card, refused):
    order_id, shown = world.reserve(), []
    before_next(world.settlement.cards, "confirm", lambda: world.pay(order_id, "pm_card_visa"))
    fake.control("faults", kind="error", path="*/confirm", status=503, count=2, stored=False)
    if refused:
        fake.control("faults", kind="error", path="*/confirm", status=refused, type="rate_limit_error")

    with suppress(errors.InvalidCard):
        shown.append(world.pay(order_id, card))

    assert all(each["is_confirming"] for each in (*shown, world.payment(order_id).snapshot()))


def test_paying_again_while_the_outcome_is_unknown_is_the_same_attempt(world, fake):
    order_id = world.reserve()
    fake.control("faults", kind="lost_reply", path="*/confirm", count=2)
    assert world.pay(order_id, "pm_card_visa")["is_confirming"]

    assert world.pay(order_id, "pm_card_visa")["status"] == "authorized"
    world.come_to_rest()
    assert list(world.faults()) == []


def test_a_card_that_was_authorized_is_not_reported_as_declined_because_another_was_meanwhile(world, fake):
    order_id = world.reserve()

    def another():
        with suppress(stripe.CardError):
            confirm(world, fake, order_id, BAD_CARD)
        world.settlement.settle(order_id)

    before_next(world.settlement.cards, "confirm", another)

    assert world.pay(order_id)["status"] == "authorized"
    assert world.payment(order_id).declines == 1


def test_three_declined_cards_are_reported_as_declined_and_the_next_as_not_charged(world):
    order_id, remaining = world.reserve(), []
    for _ in range(3):
        with pytest.raises(errors.PaymentDeclined) as declined:
            world.pay(order_id, BAD_CARD)
        remaining.append(declined.value.details["remaining"])

    with pytest.raises(errors.OrderCancelled, match="you have not been charged"):
        world.pay(order_id)

    assert remaining == [2, 1, 0]


def test_a_challenge_that_fails_at_once_is_reported_as_declined_and_not_counted(world, fake):
    order_id = world.reserve()

    def fail():
        fake.control("authenticate", payment_intent=world.payment(order_id).stripe_id, outcome="fail")

    after_next(world.settlement.cards, "confirm", fail)

    with pytest.raises(errors.PaymentDeclined) as declined:
        world.pay(order_id, CHALLENGED)
    assert declined.value.details == {"decline_code": "payment_intent_authentication_failure", "remaining": 3}


@pytest.mark.parametrize("at_the_moment", [before_next, after_next])
def test_paying_an_order_that_is_cancelled_meanwhile_reports_the_cancellation(world, at_the_moment):
    order_id = world.reserve()

    def cancel():
        world.settlement.apply_order(world.cancel(order_id).snapshot())

    at_the_moment(world.settlement.cards, "confirm", cancel)

    with pytest.raises(errors.OrderCancelled, match="you have not been charged"):
        world.pay(order_id)


def test_the_outcome_of_a_second_request_is_that_of_the_first_too(world, fake):
    order_id = world.reserve()
    fake.control("faults", kind="error", path="*/confirm", status=503, count=2, stored=False)
    assert world.pay(order_id, CHALLENGED)["is_confirming"]

    with pytest.raises(errors.AuthenticationRequired):
        world.pay(order_id, CHALLENGED)

    assert not world.payment(order_id).confirming_at


@pytest.mark.parametrize("error", [errors.StripeUnavailable, VersionConflict])
def test_a_charge_after_which_nothing_can_be_settled_is_confirming(world, monkeypatch, error):
    order_id = world.reserve()
    with monkeypatch.context() as unreachable:
        fail = Mock(side_effect=error)
        after_next(world.settlement.cards, "confirm", lambda: unreachable.setattr(world.settlement, "settle", fail))
        shown = [world.pay(order_id), world.checkout.refresh(order_id, "bo")]

    world.come_to_rest()

    assert [one["is_confirming"] for one in shown] == [True, True]
    assert world.order(order_id).status == "complete"


@pytest.mark.parametrize("last", ["open_form", "retrieve", "confirm"])
def test_payments_without_its_database_is_unavailable_only_if_it_has_charged_nothing(world, fake, monkeypatch, last):
    order_id, stored = world.reserve(), ("get", "find", "save", "update_work_left")
    world.checkout.open_form(order_id, "bo")
    with monkeypatch.context() as away:

        def fail():
            for name in stored:
                away.setattr(world.store, name, Mock(side_effect=AutoReconnect))

        fail() if last == "open_form" else after_next(world.settlement.cards, last, fail)
        with nullcontext() if last == "confirm" else pytest.raises(AutoReconnect):
            assert world.pay(order_id)["is_confirming"]

    assert [len(intent["charges"]) for intent in fake.ledger(order_id)] == [last == "confirm"]
    world.pay(order_id)
    world.come_to_rest()
    assert world.order(order_id).status == "complete"
    assert [len(intent["charges"]) for intent in fake.ledger(order_id)] == [1]


def test_of_two_cards_tried_at_once_one_is_charged(world, fake):
    order_id, cards = world.reserve(), world.settlement.cards

    def another():
        payment = world.payment(order_id)
        cards.confirm(payment.stripe_id, "pm_card_mastercard", payment.attempt_key)

    before_next(cards, "confirm", another)

    assert world.pay(order_id, "pm_card_visa")["card_brand"] == "mastercard"
    assert [len(intent["charges"]) for intent in fake.ledger(order_id)] == [1]


def test_a_second_card_under_the_key_of_the_first_is_not_charged_and_raises_nothing(world, fake):
    order_id, cards = world.reserve(), world.settlement.cards
    stripe_id = world.checkout.open_form(order_id, "bo")["client_secret"].partition("_secret")[0]

    for card in (BAD_CARD, "pm_card_visa"):
        cards.confirm(stripe_id, card, "the same attempt")

    assert (cards.retrieve(stripe_id).status, cards.retrieve(stripe_id).declines) == ("requires_payment_method", 1)
    assert [len(intent["charges"]) for intent in fake.ledger(order_id)] == [1]


def test_an_unknown_card_is_refused_and_leaves_nothing_confirming(world):
    order_id = world.reserve()

    with pytest.raises(errors.InvalidCard):
        world.pay(order_id, "pm_nonsense")

    assert not world.payment(order_id).confirming_at


@pytest.mark.parametrize("kind", ["api_error", "card_error", "invalid_request_error"])
def test_after_a_failure_that_stripe_replays_for_a_day_a_new_key_is_used(world, fake, kind):
    order_id, status = world.reserve(), {"api_error": 500, "card_error": 402, "invalid_request_error": 400}[kind]
    world.pay(order_id)
    fake.control("faults", kind="error", path="*/cancel", status=status, type=kind, count=1, stored=True)
    world.change(order_id, lambda order: order.give_up(world.now()) or order.cancel("bo", world.now()))

    with pytest.raises(errors.StripeUnavailable):
        world.come_to_rest()
    world.come_to_rest()

    assert list(world.faults()) == []


@pytest.mark.parametrize("path", ["/v1/payment_intents", "*/confirm", "*/capture", "/v1/payment_methods"])
@pytest.mark.parametrize("executed", [False, True])
def test_paying_again_after_a_failure_that_stripe_keeps_replaying_pays_once(world, fake, path, executed):
    order_id = world.reserve()
    fake.control("faults", kind="error", path=path, status=500, stored=True, executed=executed)

    for _ in range(3):
        with suppress(errors.StripeUnavailable):
            world.pay(order_id)
        with suppress(errors.StripeUnavailable):
            world.come_to_rest()

    assert world.order(order_id).status == "complete"
    assert list(world.faults()) == []


def test_a_payment_intent_for_another_amount_is_never_captured(world, fake, caplog):
    order_id = world.reserve()
    world.checkout.open_form(order_id, "bo")
    client = fake.client().v1.payment_intents
    client.update(world.payment(order_id).stripe_id, {"amount": 100})

    with pytest.raises(errors.OrderCancelled):
        world.pay(order_id)
    world.come_to_rest()

    assert "ALARM wrong_amount" in caplog.text
    assert list(world.faults()) == []


@pytest.mark.parametrize("kind", ["lost_reply", "error"])
@pytest.mark.parametrize("hours", [0, 21, 30])
def test_a_search_that_lags_behind_leads_to_no_second_intent(world, fake, kind, hours):
    order_id = world.reserve()
    fake.control("search", lag=60)
    fake.control("faults", kind=kind, path="/v1/payment_intents", count=2, executed=True)

    for _ in range(2):
        with suppress(errors.StripeUnavailable):
            world.pay(order_id)
    fake.control("clock", advance=hours * 3600)
    world.ahead += timedelta(hours=hours)
    world.settlement.settle(order_id)
    with suppress(errors.OrderCancelled):
        world.pay(order_id)

    assert [intent["payment_intent"] for intent in fake.ledger(order_id)] == [world.payment(order_id).stripe_id]


def test_an_intent_that_was_created_just_before_its_key_expired_is_not_created_again(world, fake):
    order_id = world.reserve()
    fake.control("search", lag=60)
    never_reached = {"kind": "error", "status": 503, "stored": False}
    fake.control("faults", **never_reached, path="/v1/payment_intents", count=2)
    with pytest.raises(errors.StripeUnavailable):
        world.pay(order_id)
    for hours, lost in ((19.99, True), (0.02, False)):
        world.ahead += timedelta(hours=hours)
        fake.control("clock", advance=hours * 3600)
        fake.control("faults", kind="lost_reply", path="/v1/payment_intents", count=2 if lost else 0)
        with suppress(errors.StripeUnavailable):
            world.settlement.settle(order_id)

    assert [intent["payment_intent"] for intent in fake.ledger(order_id)] == [world.payment(order_id).stripe_id]


@pytest.mark.parametrize("hours", [21, 30])
def test_an_intent_whose_id_was_lost_long_ago_is_searched_for_and_not_created_again(world, fake, hours, monkeypatch):
    order_id = world.reserve()
    with monkeypatch.context() as lost:
        lost.setattr(world.settlement.cards, "create", lambda order, number: made_and_lost(fake, order))
        with pytest.raises(stripe.APIConnectionError):
            world.pay(order_id)
    fake.control("clock", advance=hours * 3600)
    world.ahead += timedelta(hours=hours)

    world.settlement.settle(order_id)

    assert [intent["payment_intent"] for intent in fake.ledger(order_id)] == [world.payment(order_id).stripe_id]


def test_what_was_captured_is_known_at_once(world):
    order_id = awaited(world)

    assert world.settlement.settle(order_id)[0].status == "captured"


def test_a_refused_capture_is_tried_once_per_settlement_and_not_in_a_loop(world, fake):
    order_id = awaited(world)
    refused = {"status": 402, "type": "card_error", "code": "card_declined", "stored": True}
    fake.control("faults", kind="error", path="*/capture", count=2, **refused)

    tried = [world.settlement.settle(order_id)[0].capture_tries for _ in range(2)]
    world.rest_alone()

    assert tried == [1, 2]
    assert world.order(order_id).status == "complete"
    assert list(world.faults()) == []


def test_an_intent_that_was_being_created_is_found_and_cancelled_by_the_next_settlement(world, fake):
    order_id = world.reserve()
    payment = world.payment(order_id)
    payment.creating_at = world.now()
    payment.mark_changed(world.now())
    world.store.save(payment)
    world.store.apply_order(world.cancel(order_id).snapshot())

    settled, _ = world.settlement.settle(order_id)

    assert settled.status == "cancelled"
    assert [intent["status"] for intent in fake.ledger(order_id)] == ["canceled"]


def made_and_lost(fake, order):
    params = {
        "amount": order["price_cents"], "currency": order["currency"], "capture_method": "manual",
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        "metadata": {"order_id": order["id"]},
    }  # fmt: skip
    fake.client().v1.payment_intents.create(params, {"idempotency_key": f"pi:{order['id']}"})
    raise stripe.APIConnectionError("the reply was lost")


def test_a_payment_method_that_was_used_up_is_an_invalid_card(world, fake):
    order_id = world.reserve()
    fault = {"status": 400, "type": "invalid_request_error", "param": "payment_method", "message": "used up"}
    fake.control("faults", kind="error", path="*/confirm", count=1, **fault)

    with pytest.raises(errors.InvalidCard):
        world.pay(order_id, "pm_card_visa")

    assert not world.payment(order_id).confirming_at


BUSY = [
    {"status": 429, "type": "invalid_request_error", "code": "lock_timeout"},
    {"status": 409, "type": "idempotency_error", "code": "idempotency_key_in_use", "count": 2, "stored": False},
]


@pytest.mark.parametrize("fault", BUSY)
@pytest.mark.parametrize("act", ["create", "retrieve", "confirm", "capture", "cancel", "refund"])
def test_a_conflict_with_another_request_is_reported_as_busy(world, fake, act, fault):
    order_id, cards = world.bought(), world.settlement.cards
    payment = world.payment(order_id)
    arguments = {"create": [payment.order, 7], "confirm": [payment.stripe_id, "pm_card_visa", "another"]}
    fake.control("faults", kind="error", **fault)

    with pytest.raises(StripeBusy):
        getattr(cards, act)(*arguments.get(act, [payment.stripe_id]))


@pytest.mark.parametrize("fault", BUSY)
def test_a_payment_intent_that_is_locked_at_stripe_is_read_again(world, fake, fault):
    order_id = world.reserve()
    fake.control("faults", kind="error", path="*/capture", **fault)

    world.pay(order_id)
    world.come_to_rest()

    assert world.order(order_id).status == "complete"
    assert world.store.counts() == {}


def test_what_was_voided_at_stripe_the_moment_before_is_voided(world, fake):
    order_id = world.reserve()
    stripe_id = world.pay(order_id)["stripe_id"]
    world.cancel(order_id)
    before_next(world.settlement.cards, "cancel", lambda: fake.client().v1.payment_intents.cancel(stripe_id))

    world.come_to_rest()

    assert world.payment(order_id).status == "cancelled"


@pytest.mark.parametrize("fault", BUSY)
def test_a_card_that_met_a_locked_payment_intent_may_be_tried_again(world, fake, fault, monkeypatch):
    order_id = world.reserve()
    monkeypatch.setattr(retries, "LONGEST_SECONDS", 0.1)
    fake.control("faults", kind="error", path="*/confirm", **{**fault, "count": None})

    assert world.pay(order_id)["is_confirming"]
    fake.control("faults", method="DELETE")
    assert world.pay(order_id)["status"] == "authorized"


@pytest.mark.parametrize("fault", BUSY)
def test_a_card_that_met_a_payment_intent_locked_for_a_moment_is_authorized(world, fake, fault):
    order_id = world.reserve()
    fake.control("faults", kind="error", path="*/confirm", **fault)

    assert world.pay(order_id)["status"] == "authorized"


def test_a_card_that_is_being_charged_is_voided_once_stripe_releases_its_lock(world, fake):
    order_id = world.reserve()
    fake.control("locks", wait=0)
    fake.control("faults", kind="slow", path="*/confirm", seconds=60)

    def pay():
        with suppress(errors.OrderCancelled):
            world.pay(order_id)

    paying = threading.Thread(target=pay)
    paying.start()
    while not world.payment(order_id).confirming_at:
        paying.join(0.01)
    world.cancel(order_id)

    with suppress(StripeBusy):
        world.come_to_rest()
    fake.control("faults", method="DELETE")
    paying.join()
    world.come_to_rest()

    assert list(world.faults()) == []
    assert [intent["status"] for intent in fake.ledger(order_id)] == ["canceled"]


CARD = {"type": "card", "card": {"brand": "visa", "last4": "4242"}}


def read(world, status="succeeded", **about_charge):
    """Return a PaymentIntent as payments reads it."""
    charge = {
        "object": "charge", "id": "ch_1", "amount": 1999, "amount_captured": 1999, "captured": True,
        "disputed": False, "refunds": None, "payment_method_details": CARD, **about_charge,
    }  # fmt: skip
    found = {
        "object": "payment_intent", "id": "pi_1", "status": status, "client_secret": "s", "amount": 1999,
        "currency": "usd", "metadata": {}, "last_payment_error": None, "latest_charge": charge,
        "payment_method": "pm_1",
    }  # fmt: skip
    return world.settlement.cards._intent(stripe.PaymentIntent.construct_from(found, None))


@pytest.mark.parametrize("details", [{"type": "link", "link": {}}, CARD, None])
def test_a_charge_without_a_card_can_be_read(world, details):
    intent = read(world, payment_method_details=details)

    assert intent.kept_cents == 1999
    assert intent.card_last4 == (details["card"]["last4"] if details and "card" in details else None)


def test_an_authorization_that_was_voided_is_no_refund_though_stripe_shows_one(world):
    refund_of_a_void = {"object": "refund", "amount": 1999, "status": "succeeded"}
    refunds = {"object": "list", "data": [refund_of_a_void], "has_more": False, "url": "/v1/refunds"}

    intent = read(world, "requires_capture", captured=False, refunds=refunds)

    assert (intent.refunded_cents, intent.captured_cents) == (0, None)


def test_the_version_of_the_api_is_pinned_by_us(world, fake, monkeypatch):
    order_id = world.reserve()
    world.pay(order_id)
    monkeypatch.setattr(stripe, "api_version", "2000-01-01")  # as another release of the library may have it

    cards = CardProvider(SECRET_KEY, api_base=fake.url)
    found = cards._stripe.payment_intents.retrieve(world.payment(order_id).stripe_id)

    assert found.last_response.headers["Stripe-Version"] == API_VERSION


def test_paying_again_after_a_refund_gives_the_same_payment(world):
    order_id = world.bought()
    refund(world.settlement, order_id, "the show was cancelled", "operator")

    paid = world.checkout.pay(order_id, "bo", "tok_visa")
    world.come_to_rest()

    assert paid["status"] == "refunded"
    assert list(world.faults()) == []


def test_an_announced_attempt_is_confirming_until_it_is_answered(world):
    order_id = world.reserve()
    attempt = world.checkout.announce(order_id, "bo")["attempt"]

    before = world.checkout.refresh(order_id, "bo")
    answered = world.checkout.refresh(order_id, "bo", answered=attempt)

    assert (before["is_confirming"], answered["is_confirming"]) == (True, False)


def test_while_one_tab_pays_another_one_cannot(world):
    order_id = world.reserve()
    attempt = world.checkout.announce(order_id, "bo")["attempt"]

    with pytest.raises(errors.PaymentInProgress):
        world.checkout.announce(order_id, "bo")

    world.checkout.refresh(order_id, "bo", answered=attempt)
    assert world.checkout.announce(order_id, "bo")["attempt"] == attempt + 1


def test_an_invalid_card_does_not_end_another_attempt_in_flight(world):
    order_id = world.reserve()
    world.checkout.announce(order_id, "bo")

    with pytest.raises(errors.InvalidCard):
        world.pay(order_id, "tok_nonsense")

    assert world.payment(order_id).snapshot()["is_confirming"]


def test_an_announced_attempt_without_an_outcome_ends_in_time(world):
    order_id = world.reserve()
    world.checkout.announce(order_id, "bo")

    world.ahead += CONFIRM_PERIOD

    assert not world.checkout.refresh(order_id, "bo")["is_confirming"]


@pytest.mark.parametrize("outcome", [None, "fail"])
def test_a_challenge_that_was_left_lets_the_buyer_pay_again_at_once(world, fake, outcome):
    order_id = world.reserve()
    world.checkout.announce(order_id, "bo")
    confirm(world, fake, order_id, CHALLENGED)
    if outcome:
        fake.control("authenticate", payment_intent=world.payment(order_id).stripe_id, outcome=outcome)

    left = world.checkout.refresh(order_id, "bo")
    world.checkout.announce(order_id, "bo")
    in_flight = world.checkout.refresh(order_id, "bo")
    confirm(world, fake, order_id)
    world.come_to_rest()

    assert (left["is_confirming"], left["is_challenged"]) == (False, outcome is None)
    assert in_flight["is_confirming"]  # whatever Stripe still shows of the attempt before
    assert world.order(order_id).status == "complete"
    assert list(world.faults()) == []
