"""The gateway's settings, read from the environment once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from gateway.texts import FOLDER, FOLDER_FORM, Text, read_texts
from libs.contracts.currencies import CURRENCY_FORM, Currency, currency_setting
from libs.contracts.stripe_keys import PUBLISHABLE_KEY, check_base, is_live
from libs.contracts.time_zones import TIME_ZONE_FORM, time_zone
from libs.settings import (
    ADDRESS_FORM,
    AMQP_FORM,
    FLAG_FORM,
    KEY_FORM,
    PORT,
    PUBLIC_URL,
    UNKNOWN_KEY,
    URL_FORM,
    MissingSetting,
    address,
    amqp_url,
    between,
    check_common,
    flag,
    folder,
    optional,
    parsed,
    required,
    web_url,
)
from libs.tokens import Signer, Verifier

PROXIES = between(0, 10)
PROXY_IDLE_SECONDS = 3660
"""How long a connection of a proxy may be idle: longer than the proxy keeps it. Otherwise the proxy would send requests
on connections that are just being closed, and answer them with 502.

By default Envoy keeps its own for an hour, Cloudflare for 900 s, Google's load balancers for 600 s, Traefik for 90 s,
AWS's and nginx for 60 s (in their documentation: "idle timeout" or "keepalive timeout").
"""
SECRET_KEY_CHARACTERS = 32  # a signing key needs at least 256 bits (OWASP ASVS 5.0, 11.2.3 and 9.1.1)


@dataclass(frozen=True)
class Settings:
    """The gateway's settings."""

    secret_key: str
    older_secret_keys: tuple[str, ...]
    proxies: int
    amqp_url: str
    signer: Signer
    verifier: Verifier
    stripe_publishable_key: str
    stripe_api_base: str | None
    currency: Currency
    tls: bool
    trusted_hosts: tuple[str, ...]
    public_url: str
    time_zone: ZoneInfo
    texts: dict[str, dict[str, Text]]

    @property
    def stripe_is_simulated(self) -> bool:
        """Whether cards are charged by the fake Stripe, so that pages offer test cards."""
        return self.stripe_api_base is not None

    @classmethod
    def read(cls, source: Mapping[str, Any]) -> "Settings":
        """Return the settings in `source`; stop the program when a required one is missing, malformed or too weak."""
        check_common()
        secret_key, *older_secret_keys = _secret_keys(source)
        settings = cls(
            secret_key=secret_key,
            older_secret_keys=tuple(older_secret_keys),
            proxies=optional("GATEWAY_PROXIES", 0, *PROXIES, source),
            amqp_url=parsed("GATEWAY_AMQP_URL", amqp_url, AMQP_FORM, source),
            signer=parsed("GATEWAY_SIGNING_KEY", Signer, KEY_FORM, source),
            verifier=parsed("TOKEN_PUBLIC_KEYS", Verifier, KEY_FORM, source),
            stripe_publishable_key=parsed("STRIPE_PUBLISHABLE_KEY", *PUBLISHABLE_KEY, source),
            stripe_api_base=optional("STRIPE_API_BASE", None, web_url, URL_FORM, source),
            currency=optional("CURRENCY", currency_setting("usd"), currency_setting, CURRENCY_FORM, source),
            tls=optional("GATEWAY_TLS", False, flag, FLAG_FORM, source),
            trusted_hosts=optional("GATEWAY_TRUSTED_HOSTS", (), _hosts, "HOST, or several separated by commas", source),
            public_url=optional("PUBLIC_URL", "http://localhost:8000", *PUBLIC_URL, source),
            time_zone=optional("TIME_ZONE", ZoneInfo("UTC"), _zone, TIME_ZONE_FORM, source),
            texts=optional("GATEWAY_TEXTS", {}, read_texts, FOLDER_FORM, source) or read_texts(FOLDER),
        )
        if not settings.verifier.knows(settings.signer):
            raise MissingSetting("GATEWAY_SIGNING_KEY", UNKNOWN_KEY)
        if is_live(settings.stripe_publishable_key):
            settings._check_live()
        return settings

    def _check_live(self) -> None:
        """Refuse to start if real cards would be charged over connections that anybody can read or forge."""
        check_base(self.stripe_api_base, self.stripe_publishable_key)
        for name, value in (("GATEWAY_TLS", self.tls), ("GATEWAY_TRUSTED_HOSTS", self.trusted_hosts)):
            if not value:
                raise MissingSetting(name, "not set, while Stripe's keys are live")


def check_metrics_folder() -> None:
    """Stop the start when there is no folder for the metrics of the workers: prometheus_client would crash."""
    optional("PROMETHEUS_MULTIPROC_DIR", None, folder, "the path of a folder")


def bind() -> str:
    """Return GATEWAY_HOST:GATEWAY_PORT; stop the start when one is malformed."""
    host = optional("GATEWAY_HOST", "127.0.0.1", address, ADDRESS_FORM)
    return f"{f'[{host}]' if ':' in host else host}:{optional('GATEWAY_PORT', 8000, *PORT)}"


def idle_seconds() -> int:
    """Return how many seconds a proxy's connection may be idle; 0 if there is no proxy in front."""
    return PROXY_IDLE_SECONDS if optional("GATEWAY_PROXIES", 0, *PROXIES) else 0


def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(time_zone(name))


def _hosts(text: str) -> tuple[str, ...]:
    """Return the host names in `text`; one that begins with a dot stands for those below it, too.

    Raises ValueError when one is no host name, or an IPv6 address, which werkzeug never trusts.
    """
    hosts = tuple(host.strip().lower() for host in text.split(","))
    for host in hosts:
        if ":" in address(host.removeprefix(".")):
            raise ValueError(host)
    return hosts


def _secret_keys(source: Mapping[str, Any]) -> list[str]:
    """Return the keys of GATEWAY_SECRET_KEY, comma-separated: the first signs, the others are still accepted."""
    keys = [key.strip() for key in required("GATEWAY_SECRET_KEY", source).split(",")]
    for key in keys:
        required("GATEWAY_SECRET_KEY", {"GATEWAY_SECRET_KEY": key})
        if len(key) < SECRET_KEY_CHARACTERS:
            raise MissingSetting("GATEWAY_SECRET_KEY", f"shorter than {SECRET_KEY_CHARACTERS} characters")
    return keys
