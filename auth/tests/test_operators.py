import time
from datetime import UTC, datetime, timedelta

import pytest

from auth.operator_store import LONGEST_ARGUMENTS, OperatorStore
from libs import context, wire
from libs.rpc.arguments import InvalidArguments
from libs.tokens import Claims

KEY = "operator:olga=AAAA"
LARGEST_MESSAGE = 16 * 1024**2
"""Bytes that RabbitMQ 4 accepts by default, `max_message_size`."""


@pytest.fixture
def mongo(emptied):
    return emptied


@pytest.fixture
def operators(mongo):
    return OperatorStore(mongo)


def call(ident, who="olga"):
    return Claims("operator", who, ident, int(time.time()), int(time.time()) + 60)


def test_an_operator_is_known_until_removed_and_by_the_newest_key_alone(operators, caplog):
    caplog.set_level("INFO", "security")
    assert operators.public_key("olga") is None

    assert not operators.add("olga", KEY, "root")
    assert operators.add("olga", "operator:olga=BBBB", "pim")
    assert operators.public_key("olga") == "operator:olga=BBBB"
    assert [(one["name"], one["added_by"]) for one in operators.all()] == [("olga", "pim")]
    (rotation,) = caplog.records
    assert (rotation.event, rotation.who, rotation.what) == ("key_rotation", "pim", "operator:olga")

    assert (operators.remove("olga"), operators.remove("olga")) == (True, False)
    assert operators.public_key("olga") is None


def test_an_action_is_recorded_with_who_when_what_and_why_and_its_outcome_later(operators):
    with context.work("c1", client="desk-7"):
        assert operators.begin(call("a1"), "payments.refund", {"order_id": "o1", "reason": "called off"})

    (begun,) = operators.history({}, None, 10)
    operators.end("a1", "payments", "success")
    (ended,) = operators.history({"order_id": "o1"}, None, 10)

    about = ("id", "who", "method", "arguments", "reason", "source", "correlation_id", "outcome")
    shown = ["a1", "olga", "payments.refund", {"order_id": "o1", "reason": "called off"}, "called off", "desk-7", "c1"]
    assert [begun[name] for name in about] == [*shown, "unknown"]
    assert [ended[name] for name in about] == [*shown, "success"]
    assert ended["at"] <= ended["ended_at"]


def test_the_same_call_may_be_delivered_again_and_no_other_uses_its_token(operators):
    assert operators.begin(call("a1"), "orders.expire_now", {"order_id": "o1"})

    assert operators.begin(call("a1"), "orders.expire_now", {"order_id": "o1"})
    assert not operators.begin(call("a1"), "orders.expire_now", {"order_id": "o2"})
    assert not operators.begin(call("a1"), "orders.snapshot", {"order_id": "o1"})
    assert len(operators.history({}, None, 10)) == 1


def test_no_operator_does_a_thing_again_under_its_first_record(operators):
    operators.begin(call("a1"), "auth.unlock", {"user": "u1", "reason": "identity checked"})
    operators.end("a1", "auth", "success")

    assert not operators.begin(call("a1"), "auth.unlock", {"user": "u1", "reason": "identity checked"})


def test_the_first_outcome_stays_and_only_the_service_that_was_called_says_it(operators):
    operators.begin(call("a1"), "payments.refund", {})
    for service, outcome in (("orders", "success"), ("payments", "NotCaptured"), ("payments", "success")):
        operators.end("a1", service, outcome)
    operators.end("nobody's", "payments", "success")
    operators.end("\ud800", "payments", "success")

    assert [action["outcome"] for action in operators.history({}, None, 10)] == ["NotCaptured"]


@pytest.mark.parametrize("reason", ["\ud800", "\n\x1b[31m", "x" * 20_000, {"$ne": None}, 7], ids=ascii)
def test_whatever_the_arguments_are_the_action_is_recorded(operators, reason):
    assert operators.begin(call("a1"), "payments.refund", {"reason": reason, "$where": "1", "a.b": 2**70})

    (action,) = operators.history({}, None, 10)
    assert action["who"] == "olga" and "$where" in action["arguments"]


def test_no_operator_does_several_things_under_one_record_by_arguments_too_long_to_compare(operators):
    several = {"ids": ["x" * 1000] * 12, "reason": "broken"}
    assert operators.begin(call("a1"), "orders.discard_parked", {**several, "queue": "orders.PaymentCreated"})

    assert not operators.begin(call("a1"), "orders.discard_parked", {**several, "queue": "orders.TicketUpdated"})
    (action,) = operators.history({}, None, 10)
    assert action["arguments"] == {**several, "queue": "orders.PaymentCreated"}


def test_what_is_too_long_to_be_recorded_does_not_begin(operators):
    real, long = "TicketReservationChanged:0123456789abcdef01234567:1000000", "x" * 1000
    assert operators.begin(call("a1"), "orders.replay_parked", {"ids": [real] * 1000})

    with pytest.raises(InvalidArguments, match="more than 100000 characters"):
        operators.begin(call("a2"), "orders.replay_parked", {"ids": [long] * 100})
    assert [action["id"] for action in operators.history({}, None, 10)] == ["a1"]


def test_a_hundred_actions_with_the_longest_arguments_fit_into_one_reply(operators):
    longest = "x" * (LONGEST_ARGUMENTS - 100)
    operators.begin(call("a1"), "orders.cancel_by_operator", {"order_id": "o1", "reason": longest})
    operators.begin(call("a2"), "orders.replay_parked", {"order_ids": [longest]})

    assert all(100 * len(wire.encode(action, str)) < LARGEST_MESSAGE for action in operators.history({}, None, 10))


def test_actions_are_shown_newest_first_and_by_operator(operators):
    for number, who in enumerate(("olga", "pim", "olga")):
        operators.begin(call(f"a{number}", who), "tickets.repair", {})

    newest = operators.history({}, None, 2)
    assert [action["id"] for action in newest][:1] == ["a2"] and len(newest) == 2
    assert {action["id"] for action in operators.history({"who": "olga"}, None, 10)} == {"a0", "a2"}


def test_no_action_is_skipped_between_two_pages_of_the_same_millisecond(operators, monkeypatch):
    noon = datetime(2026, 11, 26, 12, tzinfo=UTC)
    for number, at in enumerate([noon, *[noon + timedelta(seconds=1)] * 3]):
        monkeypatch.setattr("auth.operator_store.utc_now", lambda at=at: at)
        operators.begin(call(f"a{number}"), "tickets.repair", {})

    first = operators.history({}, None, 2)
    second = operators.history({}, first[-1]["at"], 2)

    assert {action["id"] for action in first} == {"a1", "a2", "a3"}
    assert [action["id"] for action in second] == ["a0"]


def test_the_name_of_an_operator_who_was_removed_before_they_did_anything_is_nobody_elses(operators):
    operators.introduce("pim", "operator:pim=AAAA", "olga")
    operators.remove("pim")

    assert not operators.introduce("pim", "operator:pim=BBBB", "olga")
    assert (operators.public_key("pim"), operators.all()) == (None, [])
    assert not operators.add("pim", "operator:pim=BBBB", "root")
    assert operators.public_key("pim") == "operator:pim=BBBB"


def test_a_name_is_given_to_somebody_new_alone(operators):
    assert operators.introduce("pim", "operator:pim=AAAA", "olga")

    assert operators.introduce("pim", "operator:pim=AAAA", "olga")  # the same call, delivered again
    assert not operators.introduce("pim", "operator:pim=BBBB", "olga")
    operators.begin(call("a1", "pim"), "tickets.repair", {})
    operators.remove("pim")
    assert not operators.introduce("pim", "operator:pim=BBBB", "olga")
    assert operators.public_key("pim") is None


@pytest.mark.parametrize("odd", ["o1", [7, {"$ne": None}, "\ud800"], None], ids=str)
def test_what_are_no_ids_of_orders_is_recorded_among_the_arguments_alone(operators, odd):
    assert operators.begin(call("a1"), "payments.settle_all", {"order_ids": odd})

    (action,) = operators.history({}, None, 10)
    assert not action.get("order_id") and action["arguments"] == {"order_ids": odd}
