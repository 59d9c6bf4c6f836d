"""Mistakes mutant, and rules of docs/protocol.md switched off, in the services' own code: a short story goes wrong
with each, and ends well without it. A rule's story is the trace by which the search in tests/protocol shows the same.
"""

from dataclasses import dataclass
from typing import Any

import pytest
import stripe

from tests.money import mutants, scenarios
from tests.money.mutants import RANDOM_KEYS


@dataclass(frozen=True)
class Mutant:
    """A mistake, the scenario that reveals it, and what is wrong then; `rule`: which of docs/protocol.md it breaks."""

    mistake: str
    apply: Any
    scenario: Any
    wrong: str
    rule: int | None = None


MUTANTS = [
    Mutant("a random key creates", RANDOM_KEYS["pi:"],
            scenarios.the_reply_to_a_creation_is_lost, "has 3 intents"),
    Mutant("a random key confirms", RANDOM_KEYS["confirm:"],
            scenarios.a_bad_card_is_clicked_twice, "tried [2] cards"),
    Mutant("a random key captures", RANDOM_KEYS["capture:"],
            scenarios.two_workers_capture, "2 different requests"),
    Mutant("a random key voids", RANDOM_KEYS["cancel:"],
            scenarios.two_workers_void, "2 different requests"),
    Mutant("a random key refunds", RANDOM_KEYS["refund:"],
            scenarios.two_workers_refund, "2 different requests"),
    Mutant("a cancelled order is not voided", mutants.NEVER_VOID,
            scenarios.an_authorized_order_is_cancelled, "can still be charged"),
    Mutant("everything is refunded", mutants.ALWAYS_REFUND,
            scenarios.an_order_is_paid, "was refunded, for which nobody had asked"),
    Mutant("refunds repeat", mutants.refundable_again,
            scenarios.two_workers_refund, "alarms_refund_failed rose"),
    Mutant("every payment counts as refunded", mutants.mark_every_payment_refunded,
            scenarios.an_order_is_paid, "is marked as refunded"),
    Mutant("no payment is ever taken off the reconciler's list", mutants.never_update_work_left,
            scenarios.an_order_is_paid, "is visited for ever"),
    Mutant("taking off the list compares nothing, and a refund is forgotten", mutants.update_work_left_blindly,
            scenarios.a_worker_that_saw_no_refund_updates_work_left_last, "is not made"),
    Mutant("saving compares nothing", mutants.save_blindly,
            scenarios.a_worker_that_saw_the_authorization_writes_last, "was published with 2 different", rule=1),
    Mutant("taking off the list compares nothing", mutants.update_work_left_blindly,
            scenarios.a_worker_that_saw_nothing_begun_updates_work_left_last, "has a payment open", rule=1),
    Mutant("replies are believed", mutants.believe_replies,
            scenarios.a_capture_comes_after_the_last_was_given_up, "was paid 0", rule=2),
    Mutant("replayed replies are believed", mutants.believe_replays,
            scenarios.a_capture_is_repeated_after_its_money_was_refunded, "was published as captured", rule=2),
    Mutant("what is not complete is refunded", mutants.REFUND_INCOMPLETE,
            scenarios.an_order_is_paid, "was refunded, for which nobody had asked", rule=2),
    Mutant("an event that is no news is not settled", mutants.apply_only_news,
            scenarios.a_worker_dies_between_the_copy_and_settling, "can still be charged", rule=3),
    Mutant("an order expires before payments is asked", mutants.expire_unasked,
            scenarios.no_event_arrives_of_a_card_that_was_authorized_in_time, "lost the ticket", rule=4),
    Mutant("orders does not compare payments with what it applied", mutants.never_compare,
            scenarios.no_event_arrives_of_a_refund, "is not marked as refunded", rule=8),
    Mutant("nobody reconciles", mutants.never_reconcile,
            scenarios.the_webhook_of_a_payment_is_lost, "has a payment open", rule=8),
    Mutant("one call creates and confirms", mutants.create_and_confirm,
            scenarios.a_worker_dies_when_stripe_has_made_a_payment_intent, "can still be charged", rule=9),
    Mutant("there are no unique indexes", mutants.no_unique_indexes,
            scenarios.two_buyers_find_one_ticket_free, "2 orders hold one ticket", rule=10),
    Mutant("any snapshot replaces payments' copy", mutants.follow_any_order,
            scenarios.an_older_snapshot_of_an_order_comes_last, "can still be charged", rule=12),
    Mutant("any snapshot replaces orders' copy", mutants.keep_any_ticket,
            scenarios.an_older_snapshot_of_a_ticket_comes_last, "a withdrawn ticket was charged for", rule=12),
    Mutant("whoever creates a PaymentIntent that loses abandons it", mutants.abandon_losers,
            scenarios.a_worker_creates_late_what_another_has_created, "has 2 intents", rule=13),
    Mutant("a PaymentIntent that could not be stored is cancelled", mutants.cancel_without_comparing,
            scenarios.two_clicks_create_under_one_key, "lost the ticket", rule=13),
    Mutant("any snapshot sets tickets' reservation", mutants.follow_any_reservation,
            scenarios.an_older_snapshot_of_an_order_reaches_tickets_last, "is shown as reserved", rule=12),
    Mutant("payments asks orders before it opens the payment", mutants.ask_before_opening,
            scenarios.an_order_is_cancelled_while_payments_asks_about_it, "can still be charged", rule=14),
    Mutant("what orders answered replaces any copy", mutants.answer_anyway,
            scenarios.an_order_is_cancelled_while_payments_asks_about_it, "can still be charged", rule=14),
    Mutant("an event stands for the answer of orders", mutants.find_unasked,
            scenarios.an_old_event_comes_before_the_answer_of_orders, "can still be charged", rule=14),
    Mutant("a partial refund has a new key as soon as Stripe has failed", mutants.ask_for_partial_refunds_at_once,
            scenarios.a_partial_refund_is_made_long_after_stripe_answered_with_a_failure, "made 2 times", rule=16),
]  # fmt: skip

each_mutant = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.mistake)


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


@each_mutant
def test_a_mutant_is_caught(world, sent, monkeypatch, mutant):
    mutant.apply(monkeypatch, world)

    faults = list(mutant.scenario(world, sent))

    assert any(mutant.wrong in fault for fault in faults), faults


@each_mutant
def test_without_the_mutant_the_scenario_passes(world, sent, mutant):
    assert list(mutant.scenario(world, sent)) == []


def test_the_rules_of_which_the_model_has_its_own_code_are_switched_off_here_too():
    assert {mutant.rule for mutant in MUTANTS} >= {1, 2, 3, 4, 8, 9, 10, 12, 13, 14, 16}
