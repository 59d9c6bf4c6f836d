"""Calls to every service in an operator's name, to one or to several at once."""

import socket
import sys
from collections.abc import Callable, Collection
from typing import Any

from libs import context
from libs.contracts.events import CATALOGUE
from libs.contracts.parts import OPERATOR, SERVICES
from libs.rpc import Client, ServiceUnavailable
from libs.settings import AMQP_FORM, OPERATOR_KEY_FORM, amqp_url, parsed
from libs.tokens import Signer

CALL_SECONDS, REACH_SECONDS = 30.0, 3.0
"""How long a call may take, and how long a service may take to answer the probe before it."""
AUDIT_SECONDS = 900.0
"""How long an audit may take, which queries Stripe for every payment of two days."""
LISTENERS = CATALOGUE.listeners()
"""The services that keep copies of others' documents, and may have parked events."""


class Service:
    """One service: `service.method(argument=…)` calls it in the operator's name."""

    def __init__(self, client: Client, signer: Signer, name: str) -> None:
        self._client = client
        self._signer = signer
        self._name = name

    def ping(self) -> None:
        """Return if the service answers; else raise ServiceUnavailable soon, before it is called."""
        self._client.ping(self._name, REACH_SECONDS)

    def __getattr__(self, method: str) -> Callable[..., Any]:
        """Return the method as a function of keyword arguments."""
        if method.startswith("_"):
            raise AttributeError(method)

        def call(**arguments: Any) -> Any:
            self.ping()
            token = self._signer.mint_call(f"{self._name}.{method}")
            seconds = AUDIT_SECONDS if method == "audit" else CALL_SECONDS
            with context.work(context.correlation_id(), client=socket.gethostname()):
                return self._client.call(self._name, method, arguments, token=token, timeout=seconds)

        return call


class OperatorClient:
    """The services by their names, and which of them did not answer when several were asked, with the reason."""

    def __init__(self, client: Client, signer: Signer) -> None:
        self._client = client
        self.services = {name: Service(client, signer, name) for name in SERVICES}
        self.unreachable: dict[str, str] = {}

    def __getattr__(self, service: str) -> Service:
        try:
            return self.services[service]
        except KeyError:
            raise AttributeError(service) from None

    def connect(self) -> None:
        """Raise ServiceUnavailable, with the cause, when the broker does not answer."""
        self._client.connect(REACH_SECONDS)

    def ask(self, ask_one: Callable[[Service], Any], parts: Collection[str] = LISTENERS) -> dict[str, Any]:
        """Return the answer of each of these services; report those that do not answer, and carry on with the others.

        Raises ServiceUnavailable if the broker does not answer: then no service can.
        """
        self.connect()
        answers = {}
        for part in parts:
            try:
                answers[part] = ask_one(self.services[part])
            except ServiceUnavailable as error:
                self.unreachable[part] = str(error)
                print(f"{part} does not answer, so its part is missing here ({error})", file=sys.stderr)
        return answers


def open_operator_client() -> OperatorClient:
    """Return the client of the operator in the settings OPERATOR_AMQP_URL and OPERATOR_SIGNING_KEY."""
    url = parsed("OPERATOR_AMQP_URL", amqp_url, AMQP_FORM)
    return OperatorClient(Client(url, OPERATOR), parsed("OPERATOR_SIGNING_KEY", Signer, OPERATOR_KEY_FORM))
