import inspect
import re
from collections import Counter
from typing import Any

import pytest

from libs.amqp.connection import BLOCKED
from libs.clock import utc_now
from libs.contracts.events import CATALOGUE
from libs.rpc import RemoteError, ServiceUnavailable
from libs.tokens import new_key
from ops.shell import find, operator_client
from ops.shell.find import _stuck_payments
from ops.shell.methods import LOOK_UPS, METHODS, is_look_up
from ops.shell.names import names as names_at
from ops.shell.operator_client import open_operator_client
from ops.shell.verbs import VERBS, NotConfirmed

CALLED = re.compile(r"(?:client\.(?!ask\b)\w+|service|_owner\(\w+, \w+\))\.(\w+)\(")
"""Methods, in the source of a verb."""
ANSWERS = {"repair": {"repaired": 1, "next": None}}


class Calls(list[Any]):
    """A client that only records its calls."""

    newest: list[Any]

    def __init__(self, amqp_url, owner):
        super().__init__()
        Calls.newest = self

    def connect(self, timeout):
        """The broker answers."""

    def ping(self, service, timeout):
        """Every service answers."""

    def call(self, service, method, arguments, **about):
        self.append((f"{service}.{method}", arguments))


@pytest.fixture
def names(monkeypatch):
    monkeypatch.setenv("OPERATOR_AMQP_URL", "amqp://nobody@127.0.0.1:1//")
    monkeypatch.setenv("OPERATOR_SIGNING_KEY", new_key("operator:olga")[0])
    monkeypatch.setattr(operator_client, "Client", Calls)
    return names_at(open_operator_client())


def test_nobody_says_in_whose_name_a_refund_is_asked_for(names):
    names["refund"]("o1", "called off", yes=True)

    assert Calls.newest == [("payments.refund", {"order_id": "o1", "reason": "called off"})]
    with pytest.raises(TypeError):
        names["refund"]("o1", "called off", by="Pim", yes=True)


@pytest.mark.parametrize("name", [name for name, each in VERBS.items() if each.changes])
def test_no_verb_changes_anything_unless_somebody_says_yes(names, name, monkeypatch):
    parameters = [each for each in VERBS[name].parameters if each.kind != each.VAR_POSITIONAL]
    given = {each.name: 5 if each.annotation is int else "x" for each in parameters}

    with pytest.raises(NotConfirmed, match="say yes=True"):
        names[name](**given)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda: "n")
    with pytest.raises(NotConfirmed, match="nothing was changed"):
        names[name](**given)

    assert Calls.newest == []


def test_who_says_yes_when_asked_need_not_say_it_before(names, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda: "Yes")

    names["settle"]("o1")

    assert Calls.newest == [("payments.settle", {"order_id": "o1"})]
    assert capsys.readouterr().err == "settle('o1')? [y/N] "


@pytest.mark.parametrize(("given", "ids"), [("e1", ["e1"]), (["e1", "e2"], ["e1", "e2"]), ([], []), (None, None)])
def test_what_is_done_about_parked_events_is_asked_of_the_service_whose_queue_it_is(names, given, ids):
    names["show"]("orders.X", given, limit=5)
    names["replay"]("orders.X", given, exception="KeyError", yes=True)
    names["discard"]("orders.X", given, reason="a test", yes=True)

    selected = {"queue": "orders.X", "ids": ids, "exception": None}
    assert Calls.newest == [
        ("orders.show_parked", {**selected, "limit": 5}),
        ("orders.replay_parked", {**selected, "exception": "KeyError"}),
        ("orders.discard_parked", {**selected, "reason": "a test"}),
    ]
    with pytest.raises(ValueError, match=r"gateway\.X is no queue of events"):
        names["replay"]("gateway.X", yes=True)


def test_a_service_that_is_away_is_named_and_what_the_others_know_is_shown(names, monkeypatch, capsys):
    def ping(self, service, timeout):
        if service in ("payments", "tickets"):
            raise ServiceUnavailable("no answer in time")

    monkeypatch.setattr(Calls, "ping", ping)
    monkeypatch.setattr(Calls, "call", lambda self, service, *about, **options: ANSWERS.get(about[0], [service]))

    others = sorted({*CATALOGUE.listeners()} - {"payments", "tickets"})
    assert names["parked"]() == others
    assert names["repair"](yes=True) == dict.fromkeys(others, 1)

    missing = Counter(line.partition(" does not answer, so its part is missing here")[0] for line in printed(capsys))
    assert missing == {"payments": 2, "tickets": 2}


USER = {"id": "5" * 24, "email": "bo@example.org", "locked_at": None, "created_at": "2026-11-26T12:00:00.000Z"}
TICKET = {"id": "7" * 24, "title": "Hamlet", "price_cents": 5, "currency": "usd", "seller_id": "5" * 24}
TICKET |= {"status": "on_sale", "created_at": "2026-11-26T12:00:00.000Z"}


@pytest.mark.parametrize(
    ("words", "kinds"), [("bo@example.org", ["user", "ticket"]), ("5" * 24, ["user", "ticket"]), ("7" * 24, ["ticket"])]
)
def test_what_there_is_to_find_is_found_while_orders_is_down(names, monkeypatch, capsys, words, kinds):
    def ping(self, service, timeout):
        if service == "orders":
            raise ServiceUnavailable("no answer in time")

    def call(self, service, method, arguments, **about):
        match f"{service}.{method}", words:
            case "auth.find_user", word if word != TICKET["id"]:
                return USER
            case "tickets.get", word if word == TICKET["id"]:
                return TICKET
            case "tickets.find", _:
                return [TICKET]
        raise RemoteError("UserNotFound" if service == "auth" else "TicketNotFound", "…")

    monkeypatch.setattr(Calls, "ping", ping)
    monkeypatch.setattr(Calls, "call", call)

    assert [row["kind"] for row in names["find"](words)] == kinds
    assert "orders does not answer" in capsys.readouterr().err


@pytest.mark.parametrize(("count", "said"), [(99, False), (100, True)])
def test_who_finds_a_hundred_tickets_of_a_seller_reads_that_there_may_be_more(names, monkeypatch, capsys, count, said):
    answers = {"auth.find_user": USER, "orders.find": [], "tickets.find": [TICKET] * count}
    monkeypatch.setattr(Calls, "call", lambda self, service, method, *about, **more: answers[f"{service}.{method}"])

    assert len(names["find"]("bo@example.org")) == 1 + count

    assert ("there may be more tickets" in capsys.readouterr().err) == said


@pytest.mark.parametrize(("queued", "program"), [(0, "scheduler"), (1, "worker")])
def test_a_late_job_names_the_program_that_is_down(queued, program):
    late = [{"order_id": "o1", "expires_at": "2026-11-26T12:00:00.000Z"}]

    (row,) = find._late("expiration", {"scheduled": 1, "queued": queued, "late": late})

    assert row["repair"] == f'restart("{program}")'


@pytest.mark.parametrize(
    ("stale", "behind", "kind"),
    [(2, 1.0, "copies stale"), (0, 90.0, "copies not compared"), (0, None, "copies not compared"), (0, 1.0, None)],
)
def test_a_comparison_that_is_behind_is_not_called_stale_copies(stale, behind, kind):
    rows = find._stale("orders", [{"copies": "orders.tickets", "stale": stale, "behind_seconds": behind}])

    assert [row["kind"] for row in rows] == ([kind] if kind else [])


def test_whoever_operates_no_longer_reads_that_instead_of_finding_nothing(names, monkeypatch):
    def call(self, service, method, arguments, **about):
        raise RemoteError(refusal, "…")

    monkeypatch.setattr(Calls, "call", call)

    refusal = "UserNotFound"
    assert names["find"]("6" * 24) == []
    refusal = "Unauthenticated"
    with pytest.raises(RemoteError, match="Unauthenticated"):
        names["find"]("6" * 24)


def test_an_audit_of_many_payments_is_waited_for(names, monkeypatch):
    waited = {}

    def call(self, service, method, arguments, *, timeout, **about):
        waited[method] = timeout
        return {}

    monkeypatch.setattr(Calls, "call", call)

    names["audit"](yes=True)
    names["settle"]("o1", yes=True)

    assert waited == {"audit": 900.0, "settle": 30.0}


@pytest.mark.parametrize(
    ("words", "asked"),
    [("Lakers @ Celtics", "tickets.list"), ("@", "tickets.list"), ("a@example.org", "auth.find_user")],
)
def test_a_title_with_an_at_sign_is_no_email(names, monkeypatch, words, asked):
    def call(self, service, method, arguments, **about):
        raise RemoteError(f"{service}.{method}", "…")

    monkeypatch.setattr(Calls, "call", call)

    with pytest.raises(RemoteError, match=asked):
        names["find"](words)


def test_a_broker_that_does_not_answer_is_named_with_the_cause_instead_of_each_service(names, monkeypatch, capsys):
    def connect(self, timeout):
        raise ServiceUnavailable("the broker is unreachable: [Errno 111] Connection refused")

    monkeypatch.setattr(Calls, "connect", connect)
    monkeypatch.setenv("OPERATOR_RESTART_COMMAND", "true")

    (shown,) = names["stuck"]()

    assert (shown["kind"], shown["repair"]) == ("RabbitMQ does not answer", 'restart("rabbitmq")')
    assert "Connection refused" in shown["why"]
    with pytest.raises(ServiceUnavailable, match="Connection refused"):
        names["queues"]()
    assert names["restart"]("rabbitmq", yes=True) == {"restarted": "rabbitmq"}
    assert printed(capsys) == [f"restarting rabbitmq is not recorded: {shown['why']}"]


@pytest.mark.parametrize(
    ("name", "given", "refusal"),
    [
        ("settle", [None], "order_id must be text, not None"),
        ("find", ["a", 5], r"words must be text, not \('a', 5\)"),
        ("extend", ["o1", "10"], "minutes must be a whole number, not '10'"),
        ("show", [None], "queue must be text, not None"),
    ],
)
def test_what_is_no_text_or_number_is_refused_by_its_name(names, name, given, refusal):
    with pytest.raises(TypeError, match=f"^{refusal}$"):
        names[name](*given)


@pytest.mark.parametrize(
    ("method", "is_reply", "kind", "needed"),
    [
        ("ping", False, "a service does not answer", "auth"),
        ("call", False, "a service does not answer", "auth"),  # all its workers are busy, or it ended just now
        ("call", True, "MongoDB does not answer", "mongo"),
    ],
)
def test_what_keeps_every_service_from_answering_an_operator_is_shown_alone(
    names, monkeypatch, method, is_reply, kind, needed
):
    """Each was shown as unreachable, with a restart of it, while auth could not record what operators do."""

    def fail(self, *_arguments, **_about):
        raise ServiceUnavailable("the cause", is_reply=is_reply)

    monkeypatch.setattr(Calls, method, fail)

    (shown,) = names["stuck"]()

    assert (shown["kind"], shown["id"], shown["why"]) == (kind, needed, "the cause")
    assert shown["repair"] == f'restart("{needed}")'


def test_a_verb_asks_nothing_of_a_service_that_does_not_answer(names, monkeypatch):
    """It waited for half a minute, and left open whether the refund had been made."""

    def ping(self, service, timeout):
        raise ServiceUnavailable(f"{service}: no answer in time")

    monkeypatch.setattr(Calls, "ping", ping)

    with pytest.raises(ServiceUnavailable, match="payments: no answer in time"):
        names["refund"]("o1", "called off", yes=True)
    assert Calls.newest == []


def test_a_broker_that_blocks_publishers_is_shown_instead_of_a_restart_of_auth(names, monkeypatch):
    def ping(self, service, timeout):
        raise ServiceUnavailable(f"{service} was not sent: {BLOCKED}")

    monkeypatch.setattr(Calls, "ping", ping)

    (shown,) = names["stuck"]()

    assert (shown["kind"], shown["id"]) == ("RabbitMQ blocks publishers", "rabbitmq")
    assert (shown["why"], "restart" in shown["repair"]) == ("auth was not sent: the broker accepts nothing now", False)


def test_stuck_asks_no_service_the_same_twice(names, monkeypatch):
    """Each question is a row among operators' actions: there were two of `auth.outboxes`."""
    kinds = ("overdue", "awaiting", "confirming", "refunds", "payments", "webhooks")
    answers = {"stuck": {kind: [] for kind in kinds}, "jobs": {"scheduled": 0, "queued": 0, "late": []}}
    asked = Counter()

    def call(self, service, method, arguments, **about):
        asked[f"{service}.{method}"] += 1
        return answers.get(method, [])

    monkeypatch.setattr(Calls, "call", call)

    assert names["stuck"]() == []
    assert asked["auth.outboxes"] == asked["orders.outboxes"] == max(asked.values()) == 1


@pytest.mark.parametrize(
    ("failed", "repair"),
    [
        ({"amount_cents": 500, "reason": 'seat "7" was broken'}, r'refund("o1", "seat \"7\" was broken", "5.00")'),
        ({"amount_cents": None, "reason": "called off", "is_all": True}, 'refund("o1", "called off")'),
        ({"amount_cents": None, "reason": None, "is_all": True}, 'refund("o1", "…")'),
        ({"amount_cents": None, "reason": None, "is_all": False}, 'story("o1")'),
        ({}, 'story("o1")'),  # an earlier version of payments does not say what failed
    ],
)
def test_no_failed_refund_is_repaired_by_one_of_more(failed, repair):
    failed = {"order_id": "o1", "since": utc_now().isoformat(), "currency": "usd", **failed}
    found = dict.fromkeys(("confirming", "payments", "webhooks"), ()) | {"refunds": [failed]}

    [shown] = _stuck_payments("payments", found)

    assert (shown["kind"], shown["repair"]) == ("refund failed", repair)


@pytest.mark.parametrize("part", ["auth", "nobody"])
def test_copies_of_who_has_none_are_not_repaired(names, part):
    with pytest.raises(ValueError, match=f"{part} has no copies: {', '.join(sorted(CATALOGUE.listeners()))} have"):
        names["repair"]("orders", part, yes=True)
    assert Calls.newest == []


def test_a_verb_that_there_is_not_is_explained_by_no_key_error(names):
    with pytest.raises(ValueError, match=r"there is no verb bin: helpdesk\(\) lists all"):
        names["helpdesk"]("bin")


def printed(capsys):
    return capsys.readouterr().err.splitlines()


def test_n_calls_services_in_the_operators_name_by_our_own_client(names):
    """Stock nameko's would declare the exchange of all calls, which operators may not."""
    names["n"].rpc.tickets.get(ticket_id="t1")

    assert Calls.newest == [("tickets.get", {"ticket_id": "t1"})]


@pytest.mark.parametrize("method", [f"{name}.{each}" for name, all_of in METHODS.items() for each in all_of])
def test_a_direct_call_asks_first_unless_it_is_a_look_up(names, method):
    service, _, name = method.partition(".")
    if is_look_up(method):
        getattr(names[service], name)(order_id="o1")
        assert Calls.newest == [(method, {"order_id": "o1"})]
        return

    for called in (names[service], getattr(names["n"].rpc, service)):
        with pytest.raises(NotConfirmed, match=f"{method} changes something"):
            getattr(called, name)(order_id="o1")
    assert Calls.newest == []
    getattr(names[service], name)(order_id="o1", yes=True)
    assert Calls.newest == [(method, {"order_id": "o1"})]


def test_a_direct_call_of_a_method_that_the_shell_does_not_know_asks_first(names, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda: "n")

    with pytest.raises(NotConfirmed, match="nothing was changed"):
        names["n"].rpc.payments.forgive(order_id="o1")

    assert capsys.readouterr().err == "payments.forgive(order_id='o1')? [y/N] "
    assert Calls.newest == []


def test_verbs_that_ask_nobody_call_look_ups_alone():
    looking = [each.function for each in VERBS.values() if not each.changes] + [find]
    called = {name for each in looking for name in CALLED.findall(inspect.getsource(each))}

    assert {"stuck", "parked_events", "show_parked", "actions"} <= called
    assert called <= {name for names in LOOK_UPS.values() for name in names}


def test_the_tab_key_completes_verbs_and_the_methods_of_services(names):
    import rlcompleter

    completer = rlcompleter.Completer(names)

    assert completer.complete("stu", 0) == "stuck()"
    assert completer.complete("orders.cancel_b", 0).startswith("orders.cancel_by_operator(")


def test_an_operator_locks_a_user_out_lets_them_in_again_and_ends_their_sessions(names):
    for name in ("lock", "unlock", "end_sessions"):
        names[name]("ana@example.org", "lost a phone", yes=True)

    asked = {"user": "ana@example.org", "reason": "lost a phone"}
    assert Calls.newest == [(f"auth.{name}", asked) for name in ("lock", "unlock", "end_sessions")]


def test_the_helpdesk_names_every_function_in_one_screen(names, capsys):
    functions = [
        name for name, thing in names.items() if callable(thing) and not isinstance(thing, operator_client.Service)
    ]

    names["helpdesk"]()

    shown = capsys.readouterr().out
    assert [name for name in functions if f"{name}(" not in shown] == []
    assert len(shown.splitlines()) < 60
    names["helpdesk"]("refund")
    assert "yes=True" in capsys.readouterr().out
