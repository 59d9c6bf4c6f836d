"""The operator's desk: every service to call in an operator's name, and the parked events."""

import socket
from collections.abc import Callable
from typing import Any

from libs import context
from libs.contracts.events import CATALOGUE
from libs.contracts.limits import MAXIMUM_PAGE
from libs.contracts.parts import OPERATOR
from libs.events.parking import Parked, Parking
from libs.rpc import Client
from libs.settings import AMQP_FORM, OPERATOR_KEY_FORM, amqp_url, parsed
from libs.tokens import Signer
from ops.shell.history import history

CALL_SECONDS = 30.0
COPYING = CATALOGUE.listeners()
"""The services that keep copies of others' documents."""

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

  parked()                        how many, for each listener's queue
  show_parked("orders.X")         which, and why
  replay("orders.X")              send them to their listener again; replay("orders.X", "event id") only one
  discard("orders.X", "event id") delete one

What goes on being tried, though it has failed 20 times or more (each 20th time is an alarm in the log):

  stuck()                         events, payments and webhooks, with how often and why

Who operates, and what they did. Every call of yours is recorded before it begins, with its arguments and its outcome:

  auth.actions(who="…")           the newest actions of one operator, or of all
  auth.operators()                who may operate
  add_operator("operator:…=…")    let the owner of this key operate; it is what `python -m ops.operators key` prints
  remove_operator("…")            let somebody operate no longer, at once

`n` is nameko's own: n.rpc.tickets.get("…") works too, but without your key. helpdesk() shows this again.
"""


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
    parking = Parking(url, CATALOGUE)

    services = {name: Service(client, signer, name) for name in ("auth", *COPYING)}

    def stuck() -> dict[str, Any]:
        """Return what goes on being tried though it has failed often, by kind."""
        return {"events": parking.list_stuck(), **services["payments"].stuck()}

    def repair(*parts: str) -> dict[str, int]:
        """Compare all copies of these services, or of all, with their sources; return how many were out of date."""
        return {part: _repaired(services[part]) for part in parts or COPYING}

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
        **_parking(parking, services["auth"]),
        "helpdesk": lambda: print(HELP),
    }


def _parking(parking: Parking, auth: Service) -> dict[str, Any]:
    """Return what is done at the broker, where no service records it: so auth is told, before and after."""

    def noted(action: str, act: Callable[[], int], **about: Any) -> int:
        auth.note_action(action=action, about=about)
        done = act()
        auth.note_action(action=action, about={**about, "done": done})
        return done

    def replay(queue: str, event_id: str | None = None) -> int:
        """Send the parked events of a queue, or the one with this id, to their listener again; return how many."""
        return noted("replay", lambda: parking.replay(queue, event_id), queue=queue, event_id=event_id)

    def discard(queue: str, event_id: str) -> int:
        """Delete a parked event of a queue for good; return how many there were."""
        return noted("discard", lambda: parking.discard(queue, event_id), queue=queue, event_id=event_id)

    def show_parked(queue: str, limit: int = 20) -> list[Parked]:
        """Return the first events that are parked for a queue."""
        return parking.show(queue, limit)

    return {"parked": parking.count, "show_parked": show_parked, "replay": replay, "discard": discard}
