"""The operator's desk: every service to call in an operator's name, and the parked events."""

import getpass
from collections.abc import Callable
from typing import Any

from libs.contracts.events import CATALOGUE
from libs.contracts.parts import OPERATOR
from libs.events.parking import Parked, Parking
from libs.rpc import Client
from libs.settings import AMQP_FORM, KEY_FORM, amqp_url, parsed
from libs.tokens import Signer

CALL_SECONDS = 30.0
COPYING = CATALOGUE.listeners()
"""The services that keep copies of others' documents."""

HELP = """\
An operator's shell. Call any method of a service by its name and keyword arguments, in an operator's name:

  orders.snapshot(order_id="…")                          one order
  orders.move_deadline(order_id="…", expires_at="…")     move the deadline of an unpaid order
  payments.settle(order_id="…")                          settle a payment with Stripe now
  refund("…", "the show was called off")                 refund an order in full, once; the order stays complete
  refund("…", "the show was called off", by="Olga")      the same, recorded under another name than your login
  payments.audit()                                       compare Stripe with our database now
  auth.remove_second_factor(email="…", reason="…")       turn off the authenticator app of a user who has lost it
  tickets.list(status="all", q="hamlet")                 what the public sees

Copies of other services' documents that are missing or out of date are fetched again:

  repair()                        all copies of all services; how many were out of date, by service; repair("orders")

Events that failed every try stay in parking queues until they are replayed or discarded:

  parked()                        how many, for each listener's queue
  show_parked("orders.X")         which, and why
  replay("orders.X")              send them to their listener again; replay("orders.X", "event id") only one
  discard("orders.X", "event id") delete one

What goes on being tried, though it has failed 20 times or more (each 20th time is an alarm in the log):

  stuck()                         events, payments and webhooks, with how often and why

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
            token = self._signer.mint_service()
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
    client, signer = Client(url, OPERATOR), parsed("OPERATOR_SIGNING_KEY", Signer, KEY_FORM)
    parking = Parking(url, CATALOGUE)

    def show_parked(queue: str, limit: int = 20) -> list[Parked]:
        return parking.show(queue, limit)

    services = {name: Service(client, signer, name) for name in ("auth", *COPYING)}

    def stuck() -> dict[str, Any]:
        """Return what goes on being tried though it has failed often, by kind."""
        return {"events": parking.list_stuck(), **services["payments"].stuck()}

    def repair(*parts: str) -> dict[str, int]:
        """Compare all copies of these services, or of all, with their sources; return how many were out of date."""
        return {part: _repaired(services[part]) for part in parts or COPYING}

    def refund(order_id: str, reason: str, by: str | None = None) -> Any:
        """Refund an order in full, once, in the name of a person: by default the operating system's user."""
        return services["payments"].refund(order_id=order_id, reason=reason, by=by or getpass.getuser())

    return {
        **services,
        "refund": refund,
        "repair": repair,
        "parked": parking.count,
        "show_parked": show_parked,
        "replay": parking.replay,
        "discard": parking.discard,
        "stuck": stuck,
        "helpdesk": lambda: print(HELP),
    }
