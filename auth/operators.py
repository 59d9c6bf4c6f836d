"""The RPC methods about operators, a mixin of AuthService: who they are, what they may begin, and what they did."""

from types import SimpleNamespace
from typing import Any

from nameko.extensions import DependencyProvider

from libs.clock import utc_now
from libs.contracts.errors import DomainError, NotOperator
from libs.contracts.limits import MAXIMUM_PAGE
from libs.contracts.parts import SERVICES
from libs.rpc import arguments as checked
from libs.rpc.arguments import InvalidArguments
from libs.rpc.caller import Forbidden, Unauthenticated
from libs.rpc.entrypoint import rpc
from libs.tokens import InvalidKey, InvalidToken, operator_key, operator_of, verify_operator

EXPECTED = (DomainError, InvalidArguments, Unauthenticated, Forbidden)


class LocalClient(DependencyProvider):
    """Stands in for a ServiceClient in auth, whose `caller` would otherwise have to call auth over the broker."""

    def get_dependency(self, worker_ctx: Any) -> Any:
        """Return a client whose calls go to the private method of the same name."""

        def call(_service: str, method: str, arguments: dict[str, Any]) -> Any:
            return getattr(worker_ctx.service, f"_{method}")(**arguments)

        return SimpleNamespace(call=call)


class Operators:
    """AuthService's methods about operators; uses AuthService's dependencies.

    Import the module, not this class: `libs.service` takes every class with entrypoints in a module for a service.
    """

    store: Any
    caller: Any

    @rpc(expected_exceptions=EXPECTED)
    def authorize(self, token: str, method: str, arguments: Any) -> dict[str, Any]:
        """Authorize and record an operator's call, for the service that is called. Returns {"name", "action"}.

        Raises NotOperator for anybody who is not, or no longer, an operator, and for a token for another call.
        """
        service = self.caller.require(*SERVICES)
        if str(method).partition(".")[0] != service or not isinstance(arguments, dict):
            raise NotOperator("A service may only ask about calls to itself.")
        return self._authorize(token, method, arguments)

    @rpc(expected_exceptions=EXPECTED)
    def end_action(self, action: str, outcome: str) -> None:
        """Record how an operator's call ended, by the `action` that `authorize` returned; for the service called."""
        service = self.caller.require(*SERVICES)
        self._end_action(checked.text("action", action), checked.text("outcome", outcome), service)

    @rpc(expected_exceptions=EXPECTED)
    def add_operator(self, public_key: str) -> dict[str, Any]:
        """Add an operator by their public key, `operator:NAME=BASE64`, or replace one's own; for operators.

        Returns {"name", "replaced"}: whether there was another key before. Raises Forbidden for the name of somebody
        else, who operates or has done so: their key is replaced by an administrator alone (`ops.operators`).
        """
        added_by = self.caller.operator
        try:
            name, key = operator_key(checked.text("public_key", public_key))
        except InvalidKey as error:
            raise InvalidArguments("public_key must be operator:NAME=BASE64, of 32 bytes.") from error
        if name == added_by:
            return {"name": name, "replaced": self.store.operators.add(name, key, added_by)}
        if not self.store.operators.introduce(name, key, added_by):
            raise Forbidden(f"{name} is or was an operator: only an administrator gives them another key.")
        return {"name": name, "replaced": False}

    @rpc(expected_exceptions=EXPECTED)
    def remove_operator(self, name: str) -> bool:
        """Remove oneself, from the next call on; for operators. Returns True.

        Raises Forbidden for the name of somebody else, whom only an administrator can remove (`ops.operators`).
        """
        if checked.text("name", name) != self.caller.operator:
            raise Forbidden("You can only remove yourself: an administrator removes others.")
        return bool(self.store.operators.remove(name))

    @rpc(expected_exceptions=EXPECTED)
    def operators(self) -> Any:
        """Return the operators, as [{"name", "public_key", "added_at", "added_by"}]; for operators."""
        self.caller.require("operator")
        return self.store.operators.all()

    @rpc(expected_exceptions=EXPECTED)
    def actions(
        self, order_id: str | None = None, who: str | None = None, before: str | None = None, limit: int = 50
    ) -> Any:
        """Return what operators did, newest first: all, one operator's or those about an order; for operators.

        Each is {"id", "at", "who", "method", "arguments", "order_id"?, "reason"?, "source", "correlation_id",
        "outcome", "ended_at"}; the outcome is "success", an error's name, or "unknown". `order_id` is a list where an
        action was about several orders. `before`: the `at` of the last action of the page before; a page may be longer
        than `limit`, as it ends with all actions of one millisecond.
        """
        self.caller.require("operator")
        wanted = {
            "order_id": checked.optional_text("order_id", order_id),
            "who": checked.optional_text("who", who),
        }
        where = {name: value for name, value in wanted.items() if value is not None}
        moment = None if before is None else checked.moment("before", before)
        return self.store.operators.history(where, moment, checked.integer("limit", limit, 1, MAXIMUM_PAGE))

    @rpc(expected_exceptions=EXPECTED)
    def note_action(self, what: str) -> None:
        """Record what an operator is about to do outside of the services, such as restarting one; for operators."""
        self.caller.require("operator")
        checked.text("what", what)

    def _authorize(self, token: str, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
        name = operator_of(token)
        key = self.store.operators.public_key(name) if name else None
        if key is None:
            raise NotOperator("You are not, or no longer, an operator.")
        try:
            operator = verify_operator(token, key)
        except InvalidToken as error:
            raise NotOperator(
                f"This token is not valid ({error}); auth's clock says {utc_now():%H:%M:%S} UTC."
            ) from error
        if operator.method != method or not self.store.operators.begin(operator, method, arguments):
            raise NotOperator("This token is good for another call.")
        return {"name": operator.subject, "action": operator.session_id}

    def _end_action(self, action: str, outcome: str, service: str = "auth") -> None:
        self.store.operators.end(action, service, outcome)
