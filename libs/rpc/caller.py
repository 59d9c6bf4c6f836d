"""Who is calling: the token of a call, verified by each service itself."""

from collections.abc import Callable
from functools import partial
from typing import Any

from nameko.extensions import DependencyProvider, SharedExtension

from libs.revocation_listener import RevocationListener
from libs.revocations import followed_by
from libs.rpc.client import Client
from libs.settings import AMQP_FORM, KEY_FORM, UNKNOWN_KEY, MissingSetting, amqp_url, parsed
from libs.tokens import Claims, InvalidToken, Signer, Verifier


class Unauthenticated(Exception):
    """The call needs a valid token, and has none."""

    security_event = "access_denied"


class Forbidden(Exception):
    """The token is valid, but its bearer may not do this."""

    security_event = "access_denied"


class Caller:
    """The caller of one call. Verifies the token when first asked, so that public methods pay nothing.

    `is_revoked`: whether a session was ended before its time; raises ServiceUnavailable when that cannot be known.
    """

    def __init__(self, verifier: Verifier, is_revoked: Callable[[Claims], bool], token: str | None = None) -> None:
        self._verifier = verifier
        self._is_revoked = is_revoked
        self._token = token

    def bearing(self, token: str | None) -> "Caller":
        """Return a caller with this token."""
        return Caller(self._verifier, self._is_revoked, token)

    @property
    def claims(self) -> Claims:
        """The verified claims, also of a session that was ended; raises Unauthenticated."""
        try:
            return self._verifier.verify(self._token)
        except InvalidToken as error:
            raise Unauthenticated("Please sign in.") from error

    @property
    def who(self) -> str:
        """Who is calling, for the log: a user's id, or a service's or operator's name; empty without a valid token."""
        try:
            return self.claims.subject
        except Unauthenticated:
            return ""

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


class TokenProvider(DependencyProvider):
    """Gives a service the caller of the current call, by the token alone: of a session that was ended, too.

    For auth, which knows by itself what has ended, and for a service without users. Needs TOKEN_PUBLIC_KEYS in
    config.yml.
    """

    def setup(self) -> None:
        """Read the public keys; stop the start when there are none, or not that of the service's own key."""
        config, service = self.container.config, self.container.service_name
        verifier = parsed("TOKEN_PUBLIC_KEYS", Verifier, KEY_FORM, config)
        if config.get("SIGNING_KEY") and not verifier.knows(parsed("SIGNING_KEY", Signer, KEY_FORM, config, service)):
            raise MissingSetting("SIGNING_KEY", UNKNOWN_KEY, service)
        self.nobody = Caller(verifier, self.is_revoked)

    def is_revoked(self, _session: Claims) -> bool:
        """Return False: what has ended is not known here."""
        return False

    def get_dependency(self, worker_ctx: Any) -> Caller:
        """Return the caller; never raises."""
        return self.nobody.bearing(worker_ctx.data.get("token"))


class OwnClient(SharedExtension):
    """The client of a service that calls others in its own name. Needs AMQP_URI and SIGNING_KEY in config.yml."""

    def setup(self) -> None:
        """Prepare the client; it connects on the first call."""
        config, service = self.container.config, self.container.service_name
        self.client = Client(parsed("AMQP_URI", amqp_url, AMQP_FORM, config, service), service)
        self.signer = parsed("SIGNING_KEY", Signer, KEY_FORM, config, service)

    def call(self, service: str, method: str, arguments: dict[str, Any], timeout: float) -> Any:
        """Return what the other service's method returns; raises as `Client.call` does."""
        return self.client.call(service, method, arguments, token=self.signer.mint_service(), timeout=timeout)

    def stop(self) -> None:
        """Close the client."""
        self.client.close()


class Sessions(SharedExtension):
    """Keeps up to date which sessions were ended. Needs AMQP_URI and SIGNING_KEY in config.yml."""

    own = OwnClient()

    def setup(self) -> None:
        """Prepare the list, which is asked for once the service is started."""
        service = self.container.service_name
        url = parsed("AMQP_URI", amqp_url, AMQP_FORM, self.container.config, service)
        self.revocations = followed_by(partial(self.own.call, "auth"))
        self.listener = RevocationListener(service, url, self.revocations)

    def start(self) -> None:
        """Begin to follow auth."""
        self.listener.start()

    def stop(self) -> None:
        """Stop, within a second."""
        self.listener.stop()


class CallerProvider(TokenProvider):
    """Gives a service the caller of the current call, whose session has not been ended.

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
