from collections import Counter
from typing import Any

import pytest

from libs.rpc import ServiceUnavailable
from libs.tokens import new_key
from ops.shell import desk

ANSWERS = {"stuck": {"payments": ["a payment"], "webhooks": []}, "repair": {"repaired": 1, "next": None}}


class Calls(list[Any]):
    """A client that only records its calls."""

    newest: list[Any]

    def __init__(self, amqp_url, owner):
        super().__init__()
        Calls.newest = self

    def reach(self, service, timeout):
        """Every service answers."""

    def call(self, service, method, arguments, **about):
        self.append((f"{service}.{method}", arguments))


@pytest.fixture
def names(monkeypatch):
    monkeypatch.setenv("OPERATOR_AMQP_URL", "amqp://nobody@127.0.0.1:1//")
    monkeypatch.setenv("OPERATOR_SIGNING_KEY", new_key("operator:olga")[0])
    monkeypatch.setattr(desk, "Client", Calls)
    return desk.names()


def test_nobody_says_in_whose_name_a_refund_is_asked_for(names):
    names["refund"]("o1", "called off")

    assert Calls.newest == [("payments.refund", {"order_id": "o1", "reason": "called off"})]
    with pytest.raises(TypeError):
        names["refund"]("o1", "called off", by="Pim")


@pytest.mark.parametrize(("given", "ids"), [("e1", ["e1"]), (["e1", "e2"], ["e1", "e2"]), ([], []), (None, None)])
def test_what_is_done_about_parked_events_is_asked_of_the_service_whose_queue_it_is(names, given, ids):
    names["show_parked"]("orders.X", given, limit=5)
    names["replay"]("orders.X", given, exception="KeyError")
    names["discard"]("orders.X", given, reason="a test")

    selected = {"queue": "orders.X", "ids": ids, "exception": None}
    assert Calls.newest == [
        ("orders.show_parked", {**selected, "limit": 5}),
        ("orders.replay_parked", {**selected, "exception": "KeyError"}),
        ("orders.discard_parked", {**selected, "reason": "a test"}),
    ]
    with pytest.raises(ValueError, match=r"gateway\.X is no queue of events"):
        names["replay"]("gateway.X")


def test_a_service_that_is_away_is_named_and_what_the_others_know_is_shown(names, monkeypatch, capsys):
    def reach(self, service, timeout):
        if service in ("payments", "tickets"):
            raise ServiceUnavailable("no answer in time")

    monkeypatch.setattr(Calls, "reach", reach)
    monkeypatch.setattr(Calls, "call", lambda self, service, *about, **options: ANSWERS.get(about[0], [service]))

    assert names["parked"]() == ["expiration", "orders"]
    assert names["stuck"]() == {"events": ["expiration", "orders"]}
    assert names["repair"]() == {"expiration": 1, "orders": 1}

    missing = Counter(line.partition(" does not answer, so its part is missing here")[0] for line in said(capsys))
    assert missing == {"payments": 4, "tickets": 3}


def said(capsys):
    return capsys.readouterr().err.splitlines()


def test_n_calls_services_in_the_operators_name_by_our_own_client(names):
    """Stock nameko's would declare the exchange of all calls, which operators may not."""
    names["n"].rpc.tickets.get(ticket_id="t1")

    assert Calls.newest == [("tickets.get", {"ticket_id": "t1"})]


def test_an_operator_locks_a_user_out_lets_them_in_again_and_ends_their_sessions(names):
    for name in ("lock", "unlock", "end_sessions"):
        names[name]("ana@example.org", "lost a phone")

    asked = {"user": "ana@example.org", "reason": "lost a phone"}
    assert Calls.newest == [(f"auth.{name}", asked) for name in ("lock", "unlock", "end_sessions")]


def test_an_operator_sees_events_payments_and_webhooks_that_are_tried_for_ever(names, monkeypatch):
    monkeypatch.setattr(Calls, "call", lambda self, service, method, *about, **options: ANSWERS.get(method, [service]))

    shown = names["stuck"]()

    events = ["expiration", "orders", "payments", "tickets"]
    assert shown == {"events": events, "payments": ["a payment"], "webhooks": []}


def test_the_helpdesk_names_every_function(names, capsys):
    functions = [name for name, thing in names.items() if callable(thing) and not isinstance(thing, desk.Service)]

    names["helpdesk"]()

    shown = capsys.readouterr().out
    assert [name for name in functions if f"{name}(" not in shown] == []
