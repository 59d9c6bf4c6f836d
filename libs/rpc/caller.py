"""Who is calling: the token of a call, verified by each service itself."""

from typing import Any

from nameko.extensions import DependencyProvider

from libs.rpc.client import Client
from libs.settings import AMQP_FORM, KEY_FORM, amqp_url, parsed
from libs.tokens import Claims, InvalidToken, Signer, Verifier


class Unauthenticated(Exception):
    """The call needs a valid token, and has none."""

    security_event = "access_denied"


class Forbidden(Exception):
    """The token is valid, but its bearer may not do this."""

    security_event = "access_denied"


class Caller:
    """The caller of one call. Verifies the token when first asked, so that public methods pay nothing."""

    def __init__(self, verifier: Verifier, token: str | None) -> None:
        self._verifier = verifier
        self._token = token

    @property
    def claims(self) -> Claims:
        """The verified claims; raises Unauthenticated."""
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
        """The claims of a signed-in user; raises Unauthenticated, or Forbidden for a service's or operator's token."""
        claims = self.claims
        if not claims.is_user:
            raise Forbidden("Only users may do this.")
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


class CallerProvider(DependencyProvider):
    """Gives a service the caller of the current call. Needs TOKEN_PUBLIC_KEYS in config.yml."""

    def setup(self) -> None:
        """Read the public keys; stop the start when there are none."""
        self.verifier = parsed("TOKEN_PUBLIC_KEYS", Verifier, KEY_FORM, self.container.config)

    def get_dependency(self, worker_ctx: Any) -> Caller:
        """Return the caller; never raises."""
        return Caller(self.verifier, worker_ctx.data.get("token"))


class ServiceClient(DependencyProvider):
    """Lets a service call the others in its own name: `self.services.call("tickets", "get", {...})`.

    Needs AMQP_URI and SIGNING_KEY in config.yml.
    """

    def setup(self) -> None:
        """Prepare the client; it connects on the first call."""
        config, service = self.container.config, self.container.service_name
        self.client = Client(parsed("AMQP_URI", amqp_url, AMQP_FORM, config, service))
        self.signer = parsed("SIGNING_KEY", Signer, KEY_FORM, config, service)

    def call(self, service: str, method: str, arguments: dict[str, Any], timeout: float = 3.0) -> Any:
        """Return what the other service's method returns; raises as `Client.call` does."""
        return self.client.call(service, method, arguments, token=self.signer.mint_service(), timeout=timeout)

    def get_dependency(self, worker_ctx: Any) -> "ServiceClient":
        """Return this."""
        return self

    def stop(self) -> None:
        """Close the client."""
        self.client.close()
