"""Who is calling: each service verifies the token of a call itself, but asks auth about an operator's.

auth has the operators' keys, lets each of their calls begin only after it has recorded it, and records its outcome.
"""

import inspect
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from nameko.extensions import DependencyProvider, SharedExtension

from libs import context
from libs.contracts.errors import NotOperator
from libs.errors import log_failure
from libs.revocation_listener import RevocationListener
from libs.revocations import followed_by
from libs.rpc.arguments import InvalidArguments
from libs.rpc.client import Client, RemoteError, ServiceUnavailable, own_token
from libs.security_events import SUCCESS, security_event
from libs.settings import AMQP_FORM, KEY_FORM, UNKNOWN_KEY, MissingSetting, amqp_url, parsed
from libs.tokens import OPERATOR, Claims, InvalidToken, Signer, Verifier, operator_of

log = logging.getLogger(__name__)

Call = tuple[str, dict[str, Any]]
"""A method, as `<service>.<name>`, and the arguments that it is called with."""


class Unauthenticated(Exception):
    """The call needs a valid token, and has none."""

    security_event = "access_denied"


class Forbidden(Exception):
    """The token is valid, but its bearer may not do this."""

    security_event = "access_denied"


def deny_operators(_method: str, _arguments: dict[str, Any]) -> Any:
    """Stand in for auth where operators cannot call: raise NotOperator."""
    raise NotOperator("This service takes no calls from operators.")


class Caller:
    """The caller of a call. Verifies the token when first asked, so that public methods pay nothing.

    `is_revoked`: whether a session was ended before its time; raises ServiceUnavailable when that cannot be known.
    `ask_auth(method, arguments)` calls auth in the service's name about an operator; `called()` returns the call.
    """

    def __init__(
        self,
        verifier: Verifier,
        is_revoked: Callable[[Claims], bool],
        token: str | None = None,
        ask_auth: Callable[[str, dict[str, Any]], Any] = deny_operators,
        called: Callable[[], Call] = lambda: ("", {}),
    ) -> None:
        self._verifier = verifier
        self._is_revoked = is_revoked
        self._token = token
        self._ask_auth = ask_auth
        self._called = called
        self._operator: Claims | None = None

    def bearing(
        self, token: str | None, ask_auth: Callable[[str, dict[str, Any]], Any], called: Callable[[], Call]
    ) -> "Caller":
        """Return the caller of a call with this token."""
        return Caller(self._verifier, self._is_revoked, token, ask_auth, called)

    @property
    def claims(self) -> Claims:
        """The verified claims, even of a session that has ended.

        Raises Unauthenticated; and ServiceUnavailable if auth cannot verify an operator now.
        """
        try:
            return self._verifier.verify(self._token)
        except InvalidToken as error:
            if not operator_of(self._token):
                raise Unauthenticated("Please sign in.") from error
        self._operator = self._operator or self._begun()
        return self._operator

    @property
    def who(self) -> str:
        """Who is calling, for the log: a user's id, or a service's or operator's name; empty without a valid token."""
        if operator_of(self._token):
            return self._operator.subject if self._operator else ""
        try:
            return self.claims.subject
        except Unauthenticated:
            return ""

    @property
    def operator(self) -> str:
        """The name of the calling operator; raises as `require` does."""
        self.require(OPERATOR)
        return self.claims.subject

    @property
    def session(self) -> Claims:
        """The claims of a signed-in user.

        Raises Unauthenticated, Forbidden for a service's or operator's token, or ServiceUnavailable.
        """
        claims = self.claims
        if not claims.is_user:
            raise Forbidden("Only users may do this.")
        if self._is_revoked(claims):
            raise Unauthenticated("Please sign in.")
        return claims

    @property
    def user_id(self) -> str:
        """The id of the signed-in user; raises as `session` does."""
        return self.session.subject

    def require(self, *issuers: str) -> str:
        """Return the name of the calling service or operator; raise Forbidden unless it is one of `issuers`."""
        claims = self.claims
        if claims.is_user or claims.issuer not in issuers:
            raise Forbidden("You are not allowed to do this.")
        return claims.issuer

    def ended(self, error: BaseException | None) -> None:
        """If an operator's call has begun, log and record how it ended: with `error`, or successfully."""
        if self._operator is None:
            return
        outcome, (method, arguments) = SUCCESS if error is None else type(error).__name__, self._called()
        who, reason = self._operator.subject, str(arguments.get("reason") or "")
        about = (str(arguments[name]) for name in ("order_id", "name", "action") if arguments.get(name))
        security_event("operator_action", outcome, who=who, what=" ".join([method, *about]), reason=reason)
        with context.work(context.correlation_id(), client=context.client()):  # the time that the call had may be up
            try:
                self._ask_auth("end_action", {"action": self._operator.session_id, "outcome": outcome})
            except Exception as unknown:  # noqa: BLE001 - it was begun, and so is recorded
                log_failure(log, unknown, "the outcome of %s by %s was not recorded", method, who)

    def _begun(self) -> Claims:
        """Have auth record an operator's call; return the operator's claims, with the action's id as session id.

        Raises InvalidArguments for arguments too long to record.
        """
        method, arguments = self._called()
        try:
            found = self._ask_auth("authorize", {"token": self._token, "method": method, "arguments": arguments})
        except NotOperator as error:
            raise Unauthenticated(str(error)) from error
        except RemoteError as error:
            if error.name == "InvalidArguments":
                raise InvalidArguments(error.message) from error
            if error.name != "NotOperator":
                raise ServiceUnavailable(f"auth does not let an operator's call begin: {error}") from error
            raise Unauthenticated(error.message) from error
        return Claims(OPERATOR, found["name"], found["action"], 0, 0)


class TokenProvider(DependencyProvider):
    """Gives a service the caller of the current call by the token alone, even if the session has ended.

    For auth, which has the ended sessions itself, and for services without users. Needs TOKEN_PUBLIC_KEYS in
    config.yml.
    """

    def setup(self) -> None:
        """Read the public keys; refuse to start without any, or without that of the service's own key."""
        config, service = self.container.config, self.container.service_name
        verifier = parsed("TOKEN_PUBLIC_KEYS", partial(Verifier, service=service), KEY_FORM, config)
        if config.get("SIGNING_KEY") and not verifier.knows(parsed("SIGNING_KEY", Signer, KEY_FORM, config, service)):
            raise MissingSetting("SIGNING_KEY", UNKNOWN_KEY, service)
        self.nobody = Caller(verifier, self.is_revoked)

    def is_revoked(self, _session: Claims) -> bool:
        """Return False: this provider does not know which sessions have ended."""
        return False

    def get_dependency(self, worker_ctx: Any) -> Caller:
        """Return the caller; never raises."""

        def ask_auth(method: str, arguments: dict[str, Any]) -> Any:
            return worker_ctx.service.services.call("auth", method, arguments)

        return self.nobody.bearing(worker_ctx.data.get("token"), ask_auth, lambda: _called(worker_ctx))

    def worker_result(self, worker_ctx: Any, result: Any = None, exc_info: Any = None) -> None:
        """Record how an operator's call ended; its reply has been sent."""
        getattr(worker_ctx.service, self.attr_name).ended(exc_info and exc_info[1])


def _called(worker_ctx: Any) -> Call:
    """Return the call of a worker, each argument by its name, without the values of sensitive ones."""
    entrypoint = worker_ctx.entrypoint
    method = getattr(worker_ctx.service, entrypoint.method_name)
    given = inspect.signature(method).bind(*worker_ctx.args, **worker_ctx.kwargs).arguments
    hidden = {name: "***" for name in entrypoint.sensitive_arguments or () if name in given}
    return f"{worker_ctx.service_name}.{entrypoint.method_name}", {**given, **hidden}


class OwnClient(SharedExtension):
    """The client of a service that calls others in its own name. Needs AMQP_URI and SIGNING_KEY in config.yml."""

    def setup(self) -> None:
        """Prepare the client; it connects on the first call."""
        config, service = self.container.config, self.container.service_name
        self.client = Client(parsed("AMQP_URI", amqp_url, AMQP_FORM, config, service), service)
        self.signer = parsed("SIGNING_KEY", Signer, KEY_FORM, config, service)

    def call(self, service: str, method: str, arguments: dict[str, Any], timeout: float) -> Any:
        """Return what the other service's method returns; raises as `Client.call` and `own_token` do."""
        with own_token(self.signer, service) as token:
            return self.client.call(service, method, arguments, token=token, timeout=timeout)

    def stop(self) -> None:
        """Close the client."""
        self.client.close()


class Sessions(SharedExtension):
    """Keeps the list of ended sessions up to date. Needs AMQP_URI and SIGNING_KEY in config.yml."""

    own = OwnClient()

    def setup(self) -> None:
        """Prepare the list, which is fetched once the service has started."""
        service = self.container.service_name
        url = parsed("AMQP_URI", amqp_url, AMQP_FORM, self.container.config, service)
        self.revocations = followed_by(partial(self.own.call, "auth"))
        self.listener = RevocationListener(service, url, self.revocations)

    def start(self) -> None:
        """Begin to follow auth."""
        self.listener.start()

    def stop(self) -> None:
        """Stop, without waiting for the threads."""
        self.listener.stop()


class CallerProvider(TokenProvider):
    """Gives a service the caller of the current call, and refuses those whose session has ended.

    Needs TOKEN_PUBLIC_KEYS, AMQP_URI and SIGNING_KEY in config.yml.
    """

    sessions = Sessions()

    def is_revoked(self, session: Claims) -> bool:
        """Return whether the session was ended; raise ServiceUnavailable when that cannot be known."""
        return self.sessions.revocations.is_revoked(session)


class ServiceClient(DependencyProvider):
    """Lets a service call the others in its own name: `self.services.call("tickets", "get", {...})`.

    Needs what OwnClient does.
    """

    own = OwnClient()

    def call(self, service: str, method: str, arguments: dict[str, Any], timeout: float = 3.0) -> Any:
        """Return what the other service's method returns; raises as `Client.call` does."""
        return self.own.call(service, method, arguments, timeout)

    def get_dependency(self, worker_ctx: Any) -> "ServiceClient":
        """Return this."""
        return self
