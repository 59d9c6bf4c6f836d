"""The operator's desk: every service to call in an operator's name, and what is often asked of several."""

import socket
import sys
from collections.abc import Callable, Collection, Mapping
from types import SimpleNamespace
from typing import Any

from libs import context
from libs.contracts.events import CATALOGUE
from libs.contracts.limits import MAXIMUM_PAGE
from libs.contracts.parts import OPERATOR, SERVICES
from libs.rpc import Client, ServiceUnavailable
from libs.settings import AMQP_FORM, OPERATOR_KEY_FORM, amqp_url, parsed
from libs.tokens import Signer
from ops.shell.history import history

CALL_SECONDS, REACH_SECONDS = 30.0, 3.0
"""How long a call may take, and how long a service may take to answer at all when all are asked."""
LISTENERS = CATALOGUE.listeners()
"""The services that keep copies of others' documents, and may have parked events."""

HELP = """\
An operator's shell. Call any method of a service by its name and keyword arguments, in an operator's name:

  orders.snapshot(order_id="…")                          one order
  history("…")                                           what became of an order, and what operators did about it
  orders.move_deadline(order_id="…", expires_at="…")     move the deadline of an unpaid order
  expire_now("…")                                        let its time run out now
  payments.settle(order_id="…")                          settle a payment with Stripe now
  refund("…", "the show was called off")                 refund an order in full, once; the order stays complete
  payments.audit()                                       compare Stripe with our database now
  auth.remove_second_factor(email="…", reason="…")       turn off the authenticator app of a user who has lost it
  tickets.list(status="all", q="hamlet")                 what the public sees

Users (by id or email) are locked out and let in again, and their sessions ended, everywhere within three seconds:

  lock("ana@example.org", "reported as stolen")          no sign-in any more, and all sessions end
  unlock("ana@example.org", "identity checked")          may sign in again
  end_sessions("ana@example.org", "lost a phone")        all sessions end; may sign in again

Copies of other services' documents that are missing or out of date are fetched again:

  repair()                        all copies of all services; how many were out of date, by service; repair("orders")

Events that failed every try stay in parking queues until they are replayed or discarded:

  parked()                                               how many, by queue and exception
  show_parked("orders.X")                                which, why, and how often each was replayed
  replay("orders.X")                                     send them to their listener again
  discard("orders.X", "event id", reason="a test")       delete one for good

The last three take one event id or a list of them, and exception="…".

What goes on being tried, though it has failed 20 times or more (each 20th time is an alarm in the log):

  stuck()                         events, payments and webhooks, with how often and why

Who operates, and what they did. Every call of yours is recorded before it begins, with its arguments and its outcome:

  auth.actions(who="…")           the newest actions of one operator, or of all
  auth.operators()                who may operate
  add_operator("operator:…=…")    let somebody new operate, or use a new key yourself; `python -m ops.operators key`
                                  prints what to give
  remove_operator("…")            operate no longer, by your own name; an administrator removes others

n.rpc.orders.snapshot(order_id="…") is the same as orders.snapshot(order_id="…"). helpdesk() shows this again.
"""


Ids = str | Collection[str] | None
"""An event's id, several, or None for any."""


class Service:
    """One service: `service.method(argument=…)` calls it in the operator's name."""

    def __init__(self, client: Client, signer: Signer, name: str) -> None:
        self._client = client
        self._signer = signer
        self._name = name

    def __getattr__(self, method: str) -> Callable[..., Any]:
        """Return the method as a function of keyword arguments."""
        if method.startswith("_"):
            raise AttributeError(method)

        def call(**arguments: Any) -> Any:
            token = self._signer.mint_call(f"{self._name}.{method}")
            with context.work(context.correlation_id(), client=socket.gethostname()):
                return self._client.call(self._name, method, arguments, token=token, timeout=CALL_SECONDS)

        return call


def _repaired(service: Service) -> int:
    answer = service.repair()
    repaired = answer["repaired"]
    while answer["next"]:
        answer = service.repair(after=answer["next"])
        repaired += answer["repaired"]
    return int(repaired)


def names() -> dict[str, Any]:
    """Return what the shell offers, by name. Needs OPERATOR_AMQP_URL and OPERATOR_SIGNING_KEY."""
    url = parsed("OPERATOR_AMQP_URL", amqp_url, AMQP_FORM)
    client, signer = Client(url, OPERATOR), parsed("OPERATOR_SIGNING_KEY", Signer, OPERATOR_KEY_FORM)
    services = {name: Service(client, signer, name) for name in SERVICES}

    def ask(ask_one: Callable[[Service], Any], parts: Collection[str] = LISTENERS) -> dict[str, Any]:
        """Return what each of these services answers; say of which there is no answer, and go on with the others."""
        answers = {}
        for part in parts:
            try:
                client.reach(part, REACH_SECONDS)
                answers[part] = ask_one(services[part])
            except ServiceUnavailable as error:
                print(f"{part} does not answer, so its part is missing here ({error})", file=sys.stderr)
        return answers

    def stuck() -> dict[str, Any]:
        """Return what goes on being tried though it has failed often, by kind."""
        events = [event for found in ask(lambda service: service.stuck_events()).values() for event in found]
        return {"events": events, **ask(lambda service: service.stuck(), ["payments"]).get("payments", {})}

    def repair(*parts: str) -> dict[str, int]:
        """Compare all copies of these services, or of all, with their sources; return how many were out of date."""
        return ask(_repaired, parts or LISTENERS)

    def parked() -> list[dict[str, Any]]:
        """Return how many events are parked, by queue and exception."""
        return [group for groups in ask(lambda service: service.parked_events()).values() for group in groups]

    def show_history(order_id: str) -> list[dict[str, Any]]:
        """Return what became of an order and what operators did about it, the oldest first."""
        order = services["orders"].snapshot(order_id=order_id)
        payments = services["payments"].snapshots(ids=[order_id])
        return history(order, payments, services["auth"].actions(order_id=order_id, limit=MAXIMUM_PAGE))

    return {
        **services,
        "expire_now": lambda order_id: services["orders"].expire_now(order_id=order_id),
        "refund": lambda order_id, reason: services["payments"].refund(order_id=order_id, reason=reason),
        "history": show_history,
        "add_operator": lambda public_key: services["auth"].add_operator(public_key=public_key),
        "remove_operator": lambda name: services["auth"].remove_operator(name=name),
        "lock": lambda user, reason: services["auth"].lock(user=user, reason=reason),
        "unlock": lambda user, reason: services["auth"].unlock(user=user, reason=reason),
        "end_sessions": lambda user, reason: services["auth"].end_sessions(user=user, reason=reason),
        "repair": repair,
        "stuck": stuck,
        "parked": parked,
        **_parking(services),
        "n": SimpleNamespace(rpc=SimpleNamespace(**services)),
        "helpdesk": lambda: print(HELP),
    }


def _parking(services: Mapping[str, Service]) -> dict[str, Any]:
    """Return what is done about the parked events of one queue, by the service whose queue it is."""

    def owner(queue: str) -> Service:
        part = queue.partition(".")[0]
        if part not in LISTENERS:
            raise ValueError(f"{queue} is no queue of events: its name begins with one of {', '.join(LISTENERS)}")
        return services[part]

    def show_parked(queue: str, ids: Ids = None, exception: str | None = None, limit: int = 20) -> Any:
        """Return the first events that are parked for a queue: all, or those with these ids or this exception."""
        return owner(queue).show_parked(queue=queue, ids=_listed(ids), exception=exception, limit=limit)

    def replay(queue: str, ids: Ids = None, exception: str | None = None) -> Any:
        """Send parked events of a queue to their listener again: all, or those with these ids or this exception.

        Returns {"replayed", "left"}: how many, and how many there was no time to look at.
        """
        return owner(queue).replay_parked(queue=queue, ids=_listed(ids), exception=exception)

    def discard(queue: str, ids: Ids = None, exception: str | None = None, *, reason: str) -> Any:
        """Delete parked events of a queue for good, those with these ids or this exception.

        Returns {"discarded", "left"}: how many, and how many there was no time to look at.
        """
        return owner(queue).discard_parked(queue=queue, ids=_listed(ids), exception=exception, reason=reason)

    return {"show_parked": show_parked, "replay": replay, "discard": discard}


def _listed(ids: Ids) -> list[str] | None:
    """Return ids as a list; an empty one, which selects nothing, is not None, which selects everything."""
    return [ids] if isinstance(ids, str) else None if ids is None else list(ids)
