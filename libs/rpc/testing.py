"""A test double for `Client`, which calls service objects in memory and needs no server.

The same contract tests check it and the real one: libs/rpc/tests/test_clients.py.
"""

import copy
import inspect
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from nameko.exceptions import IncorrectSignature, MethodNotFound
from nameko.extensions import ENTRYPOINT_EXTENSIONS_ATTR

from libs import context, wire
from libs.rpc.caller import Caller, deny_operators
from libs.rpc.client import Client, ServiceUnavailable, result_of
from libs.rpc.entrypoint import Rpc, encoded_reply
from libs.security_events import note_refusal


class ClientInMemory(Client):
    """Stands in for `Client`: calls the `rpc` methods of `services`, the objects by their services' names.

    Arguments and results go through JSON, as over the wire. A service's `caller` bears each call's token.
    """

    def __init__(self, services: Mapping[str, Any], timeout: float = 5.0) -> None:
        super().__init__("", "", timeout)
        self.services = dict(services)

    def connect(self, timeout: float) -> None:
        """Do nothing: there is no connection."""

    def _call(
        self,
        name: str,
        arguments: dict[str, Any],
        token: str | None,
        deadline: float,
        is_query: bool,
    ) -> Any:
        service, _, method = name.partition(".")
        if service not in self.services:
            raise ServiceUnavailable(f"{name}: no such service")
        with context.work(context.correlation_id(), deadline, context.client()):
            reply = wire.decode(self._answer(service, method, wire.decode(wire.encode(arguments)), token))
        if time.monotonic() > deadline:
            raise ServiceUnavailable(f"{name}: no answer in time")
        return result_of(reply, name)

    def _answer(self, service: str, method: str, arguments: dict[str, Any], token: str | None) -> bytes:
        worker = copy.copy(self.services[service])  # one for each call, as nameko has it
        if isinstance(getattr(worker, "caller", None), Caller):
            ask_auth = partial(worker.services.call, "auth") if hasattr(worker, "services") else deny_operators
            worker.caller = worker.caller.bearing(token, ask_auth, lambda: (f"{service}.{method}", arguments))
        try:
            function: Any = getattr(worker, method, None)
            if not any(isinstance(entry, Rpc) for entry in getattr(function, ENTRYPOINT_EXTENSIONS_ATTR, ())):
                raise MethodNotFound(method)
            try:
                inspect.signature(function).bind(**arguments)
            except TypeError as error:
                raise IncorrectSignature(str(error)) from error
            reply, failure = encoded_reply(function(**arguments), None), None
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets it
            note_refusal(error, worker, f"{service}.{method}")  # as the container does
            reply, failure = encoded_reply(None, error), error
        if isinstance(getattr(worker, "caller", None), Caller):
            worker.caller.ended(failure)  # as the provider does
        return reply
