"""A PaymentIntent goes through Stripe's statuses, and no others."""

import pytest
import stripe


def test_intent_without_a_card_asks_for_one(new_intent):
    intent = new_intent()

    assert (intent.status, intent.amount, intent.currency) == ("requires_payment_method", 1500, "usd")
    assert intent.client_secret.startswith(intent.id + "_secret_")
    assert intent.livemode is False


def test_manual_capture_authorizes_first_and_takes_the_money_later(new_intent, intents, fake):
    intent = intents.confirm(new_intent().id, {"payment_method": "pm_card_visa"})
    assert (intent.status, intent.amount_capturable, intent.amount_received) == ("requires_capture", 1500, 0)

    intent = intents.capture(intent.id)

    assert (intent.status, intent.amount_capturable, intent.amount_received) == ("succeeded", 0, 1500)
    assert fake.ledger("order-1")[0]["captured"] == 1500


def test_automatic_capture_takes_the_money_at_once(intents):
    intent = intents.create(
        {
            "amount": 1500,
            "currency": "usd",
            "confirm": True,
            "payment_method": "pm_card_visa",
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        }
    )

    assert (intent.status, intent.amount_received) == ("succeeded", 1500)


def test_latest_charge_can_be_expanded(new_intent, intents):
    intent = intents.confirm(new_intent().id, {"payment_method": "pm_card_mastercard"})

    charge = intents.retrieve(intent.id, {"expand": ["latest_charge"]}).latest_charge

    assert (charge.captured, charge.payment_method_details.card.brand) == (False, "mastercard")
    assert intent.latest_charge == charge.id


def test_declined_card_leaves_a_failed_charge_and_asks_for_another(new_intent, intents, client):
    intent = new_intent()

    with pytest.raises(stripe.CardError) as declined:
        intents.confirm(intent.id, {"payment_method": "pm_card_visa_chargeDeclinedInsufficientFunds"})

    error = declined.value.error
    assert (declined.value.http_status, error.code, error.decline_code) == (402, "card_declined", "insufficient_funds")
    assert error.payment_intent.status == "requires_payment_method"
    assert error.payment_intent.last_payment_error.decline_code == "insufficient_funds"
    assert [charge.status for charge in client.charges.list({"payment_intent": intent.id}).data] == ["failed"]


def test_each_declined_attempt_is_one_failed_charge(new_intent, intents, client):
    intent = new_intent()

    for _ in range(2):
        with pytest.raises(stripe.CardError):
            intents.confirm(intent.id, {"payment_method": "pm_card_chargeDeclined"})
    intents.confirm(intent.id, {"payment_method": "pm_card_visa"})

    statuses = [charge.status for charge in client.charges.list({"payment_intent": intent.id}).data]
    assert statuses == ["succeeded", "failed", "failed"]


def test_cancelled_authorization_never_moves_money(new_intent, intents, fake):
    intent = intents.confirm(new_intent().id, {"payment_method": "pm_card_visa"})

    intent = intents.cancel(intent.id, {"cancellation_reason": "abandoned"})

    assert (intent.status, intent.cancellation_reason, intent.amount_capturable) == ("canceled", "abandoned", 0)
    assert intent.canceled_at is not None
    assert (fake.ledger()[0]["captured"], fake.ledger()[0]["refunded"]) == (0, 0)


def cancel(intents, id):
    intents.cancel(id)


def confirm(intents, id):
    intents.confirm(id, {"payment_method": "pm_card_visa"})


def capture(intents, id):
    intents.capture(id)


@pytest.mark.parametrize(
    ("before", "forbidden"),
    [
        ([], capture),
        ([confirm, capture], capture),
        ([confirm, capture], cancel),
        ([confirm, capture], confirm),
        ([confirm], confirm),
        ([cancel], cancel),
        ([cancel], confirm),
        ([cancel], capture),
    ],
)
def test_status_forbids_what_stripe_forbids(new_intent, intents, before, forbidden):
    intent = new_intent()
    for step in before:
        step(intents, intent.id)

    with pytest.raises(stripe.InvalidRequestError) as refused:
        forbidden(intents, intent.id)

    assert (refused.value.http_status, refused.value.code) == (400, "payment_intent_unexpected_state")
    assert refused.value.error.payment_intent.id == intent.id


def test_confirming_without_a_card_is_refused(new_intent, intents):
    with pytest.raises(stripe.InvalidRequestError, match="missing a payment method"):
        intents.confirm(new_intent().id)


def test_redirecting_payment_methods_need_a_return_url(intents):
    intent = intents.create({"amount": 1500, "currency": "usd"})

    with pytest.raises(stripe.InvalidRequestError, match="you must provide a `return_url`"):
        intents.confirm(intent.id, {"payment_method": "pm_card_visa"})


def test_update_merges_metadata_and_changes_the_amount(new_intent, intents):
    intent = new_intent(metadata={"order_id": "order-1", "note": "gone"})

    intent = intents.update(intent.id, {"amount": 2000, "metadata": {"note": "", "seat": "A1"}})

    assert intent.amount == 2000
    assert intent.metadata.to_dict() == {"order_id": "order-1", "seat": "A1"}


def test_amount_is_fixed_once_authorized(new_intent, intents):
    intent = intents.confirm(new_intent().id, {"payment_method": "pm_card_visa"})

    with pytest.raises(stripe.InvalidRequestError, match="amount could not be updated"):
        intents.update(intent.id, {"amount": 2000})


@pytest.mark.parametrize(("amount", "code"), [(49, "amount_too_small"), (100_000_000, "amount_too_large")])
def test_amount_outside_stripes_bounds_is_refused(new_intent, amount, code):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        new_intent(amount=amount)

    assert (refused.value.code, refused.value.param) == (code, "amount")


def test_intents_are_listed_newest_first_in_pages(new_intent, intents):
    ids = [new_intent().id for _ in range(3)]

    first = intents.list({"limit": 2})
    rest = intents.list({"limit": 2, "starting_after": first.data[-1].id})

    assert [intent.id for intent in (*first.data, *rest.data)] == ids[::-1]
    assert (first.has_more, rest.has_more) == (True, False)
    assert [intent.id for intent in intents.list({"ending_before": ids[0], "limit": 1}).data] == [ids[1]]


def test_partial_capture_releases_the_rest(new_intent, intents, fake):
    intent = intents.confirm(new_intent().id, {"payment_method": "pm_card_visa"})

    intent = intents.capture(intent.id, {"amount_to_capture": 1000})

    assert (intent.status, intent.amount_received) == ("succeeded", 1000)
    assert (fake.ledger()[0]["captured"], fake.ledger()[0]["refunded"]) == (1000, 0)


def test_spent_payment_method_cannot_pay_again(new_intent, intents, client):
    method = client.payment_methods.create({"type": "card", "card": {"token": "tok_visa"}})
    intents.confirm(new_intent().id, {"payment_method": method.id})

    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        intents.confirm(new_intent().id, {"payment_method": method.id})
