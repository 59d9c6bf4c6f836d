from typing import Any

import pytest

from libs.events.parking import Parking
from libs.tokens import new_key
from ops.shell import desk


class Calls(list[Any]):
    """A client that only records its calls."""

    newest: list[Any]

    def __init__(self, amqp_url, owner):
        super().__init__()
        Calls.newest = self

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


@pytest.mark.parametrize("done", ["replay", "discard"])
def test_what_an_operator_does_at_the_broker_is_recorded_before_and_after(names, monkeypatch, done):
    at_the_time = []
    monkeypatch.setattr(Parking, done, lambda *about: at_the_time.append(len(Calls.newest)) or 3)

    assert names[done]("orders.X", "e1") == 3

    about = {"queue": "orders.X", "event_id": "e1"}
    notes = [{"action": done, "about": about}, {"action": done, "about": {**about, "done": 3}}]
    assert Calls.newest == [("auth.note_action", note) for note in notes]
    assert at_the_time == [1]


def test_an_operator_locks_a_user_out_lets_them_in_again_and_ends_their_sessions(names):
    for name in ("lock", "unlock", "end_sessions"):
        names[name]("ana@example.org", "lost a phone")

    asked = {"user": "ana@example.org", "reason": "lost a phone"}
    assert Calls.newest == [(f"auth.{name}", asked) for name in ("lock", "unlock", "end_sessions")]


def test_an_operator_sees_events_payments_and_webhooks_that_are_tried_for_ever(names, monkeypatch):
    monkeypatch.setattr(Parking, "list_stuck", lambda parking: ["an event"])
    monkeypatch.setattr(Calls, "call", lambda self, *about, **options: {"payments": ["a payment"], "webhooks": []})

    shown = desk.names()["stuck"]()

    assert shown == {"events": ["an event"], "payments": ["a payment"], "webhooks": []}


def test_the_helpdesk_names_every_function(names, capsys):
    functions = [name for name, thing in names.items() if not isinstance(thing, desk.Service)]

    names["helpdesk"]()

    shown = capsys.readouterr().out
    assert [name for name in functions if f"{name}(" not in shown] == []
