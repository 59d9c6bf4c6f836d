"""Mistakes planted, and rules of docs/protocol.md switched off, in the services' own code: a short story goes wrong
with each, and ends well without it. A rule's story is the trace by which the search in tests/protocol shows the same.
"""

from dataclasses import dataclass
from typing import Any

import pytest
import stripe

from tests.money import mistakes, stories
from tests.money.mistakes import RANDOM_KEYS


@dataclass(frozen=True)
class Planted:
    """A mistake with its story, and what is wrong at the end; `rule` is the one of docs/protocol.md that it breaks."""

    mistake: str
    plant: Any
    story: Any
    wrong: str
    rule: int | None = None


PLANTED = [
    Planted("a random key creates", RANDOM_KEYS["pi:"],
            stories.the_reply_to_a_creation_is_lost, "has 3 intents"),
    Planted("a random key confirms", RANDOM_KEYS["confirm:"],
            stories.a_bad_card_is_clicked_twice, "tried [2] cards"),
    Planted("a random key captures", RANDOM_KEYS["capture:"],
            stories.two_workers_capture, "2 different requests"),
    Planted("a random key voids", RANDOM_KEYS["cancel:"],
            stories.two_workers_void, "2 different requests"),
    Planted("a random key refunds", RANDOM_KEYS["refund:"],
            stories.two_workers_refund, "2 different requests"),
    Planted("a cancelled order is not voided", mistakes.NEVER_VOID,
            stories.an_authorized_order_is_cancelled, "can still be charged"),
    Planted("everything is refunded", mistakes.ALWAYS_REFUND,
            stories.an_order_is_paid, "was refunded, for which nobody had asked"),
    Planted("refunds repeat", mistakes.refundable_again,
            stories.two_workers_refund, "alarms_refund_failed rose"),
    Planted("every payment counts as refunded", mistakes.mark_every_payment_refunded,
            stories.an_order_is_paid, "is marked as refunded"),
    Planted("no payment is ever taken off the reconciler's list", mistakes.never_update_work_left,
            stories.an_order_is_paid, "is visited for ever"),
    Planted("taking off the list compares nothing, and a refund is forgotten", mistakes.update_work_left_blindly,
            stories.a_worker_that_saw_no_refund_updates_work_left_last, "is not made"),
    Planted("saving compares nothing", mistakes.save_blindly,
            stories.a_worker_that_saw_the_authorization_writes_last, "was published with 2 different", rule=1),
    Planted("taking off the list compares nothing", mistakes.update_work_left_blindly,
            stories.a_worker_that_saw_nothing_begun_updates_work_left_last, "has a payment open", rule=1),
    Planted("replies are believed", mistakes.believe_replies,
            stories.a_capture_comes_after_the_last_was_given_up, "was paid 0", rule=2),
    Planted("replayed replies are believed", mistakes.believe_replays,
            stories.a_capture_is_repeated_after_its_money_was_refunded, "was published as captured", rule=2),
    Planted("what is not complete is refunded", mistakes.REFUND_INCOMPLETE,
            stories.an_order_is_paid, "was refunded, for which nobody had asked", rule=2),
    Planted("an event that is no news is not settled", mistakes.apply_only_news,
            stories.a_worker_dies_between_the_copy_and_settling, "can still be charged", rule=3),
    Planted("an order expires before payments is asked", mistakes.expire_unasked,
            stories.no_event_arrives_of_a_card_that_was_authorized_in_time, "lost the ticket", rule=4),
    Planted("orders does not compare payments with what it applied", mistakes.never_compare,
            stories.no_event_arrives_of_a_refund, "is not marked as refunded", rule=8),
    Planted("nobody reconciles", mistakes.never_reconcile,
            stories.the_webhook_of_a_payment_is_lost, "has a payment open", rule=8),
    Planted("one call creates and confirms", mistakes.create_and_confirm,
            stories.a_worker_dies_when_stripe_has_made_a_payment_intent, "can still be charged", rule=9),
    Planted("there are no unique indexes", mistakes.no_unique_indexes,
            stories.two_buyers_find_one_ticket_free, "2 orders hold one ticket", rule=10),
    Planted("any snapshot replaces payments' copy", mistakes.follow_any_order,
            stories.an_older_snapshot_of_an_order_comes_last, "can still be charged", rule=12),
    Planted("any snapshot replaces orders' copy", mistakes.keep_any_ticket,
            stories.an_older_snapshot_of_a_ticket_comes_last, "a withdrawn ticket was charged for", rule=12),
    Planted("whoever creates a PaymentIntent that loses abandons it", mistakes.abandon_losers,
            stories.a_worker_creates_late_what_another_has_created, "has 2 intents", rule=13),
    Planted("a PaymentIntent that could not be stored is cancelled", mistakes.cancel_without_comparing,
            stories.two_clicks_create_under_one_key, "lost the ticket", rule=13),
    Planted("any snapshot sets tickets' reservation", mistakes.follow_any_reservation,
            stories.an_older_snapshot_of_an_order_reaches_tickets_last, "is shown as reserved", rule=12),
    Planted("payments asks orders before it opens the payment", mistakes.ask_before_opening,
            stories.an_order_is_cancelled_while_payments_asks_about_it, "can still be charged", rule=14),
    Planted("what orders answered replaces any copy", mistakes.answer_anyway,
            stories.an_order_is_cancelled_while_payments_asks_about_it, "can still be charged", rule=14),
    Planted("an event stands for the answer of orders", mistakes.find_unasked,
            stories.an_old_event_comes_before_the_answer_of_orders, "can still be charged", rule=14),
    Planted("a partial refund has a new key as soon as Stripe has failed", mistakes.ask_for_partial_refunds_at_once,
            stories.a_partial_refund_is_made_long_after_stripe_answered_with_a_failure, "made 2 times", rule=16),
]  # fmt: skip

each = pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.mistake)


@pytest.fixture
def sent(monkeypatch):
    """The requests to Stripe during the test, as (path, idempotency key)."""
    asked, request = [], stripe.RequestsClient.request

    def noted(client, method, url, headers, post_data=None):
        if "Idempotency-Key" in headers:
            asked.append((url, headers["Idempotency-Key"]))
        return request(client, method, url, headers, post_data)

    monkeypatch.setattr(stripe.RequestsClient, "request", noted)
    return asked


@each
def test_a_mistake_is_caught(world, sent, monkeypatch, planted):
    planted.plant(monkeypatch, world)

    faults = list(planted.story(world, sent))

    assert any(planted.wrong in fault for fault in faults), faults


@each
def test_without_the_mistake_the_story_ends_well(world, sent, planted):
    assert list(planted.story(world, sent)) == []


def test_the_rules_of_which_the_model_has_its_own_code_are_switched_off_here_too():
    assert {planted.rule for planted in PLANTED} >= {1, 2, 3, 4, 8, 9, 10, 12, 13, 14, 16}
