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
    monkeypatch.setenv("OPERATOR_SIGNING_KEY", new_key("operator:1")[0])
    monkeypatch.setenv("LOGNAME", "olga")
    monkeypatch.setattr(desk, "Client", Calls)
    return desk.names()


def test_a_refund_is_asked_for_in_the_name_of_the_operating_systems_user_or_of_who_is_named(names):
    names["refund"]("o1", "called off")
    names["refund"]("o1", "called off", by="Pim")

    asked = {"order_id": "o1", "reason": "called off"}
    assert Calls.newest == [("payments.refund", asked | {"by": name}) for name in ("olga", "Pim")]


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
