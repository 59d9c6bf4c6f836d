"""The gateway's settings, read from the environment once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from libs.contracts.currencies import CURRENCY_FORM, Currency, currency_setting
from libs.settings import KEY_FORM, MissingSetting, Value, integer, parsed, required
from libs.tokens import Signer, Verifier

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

    @property
    def stripe_is_simulated(self) -> bool:
        """Whether cards are charged by the simulated Stripe, so that pages offer test cards."""
        return self.stripe_api_base is not None

    @classmethod
    def read(cls, source: Mapping[str, Any]) -> "Settings":
        """Return the settings in `source`; stop the program when a required one is missing, malformed or too weak."""
        secret_key, *older_secret_keys = _secret_keys(source)
        hosts = (source.get("GATEWAY_TRUSTED_HOSTS") or "").split(",")
        return cls(
            secret_key=secret_key,
            older_secret_keys=tuple(older_secret_keys),
            proxies=_proxies(source),
            amqp_url=required("GATEWAY_AMQP_URL", source),
            signer=parsed("GATEWAY_SIGNING_KEY", Signer, KEY_FORM, source),
            verifier=parsed("TOKEN_PUBLIC_KEYS", Verifier, KEY_FORM, source),
            stripe_publishable_key=required("STRIPE_PUBLISHABLE_KEY", source),
            stripe_api_base=source.get("STRIPE_API_BASE") or None,
            currency=_parsed_or("usd", "CURRENCY", currency_setting, CURRENCY_FORM, source),
            tls=source.get("GATEWAY_TLS") == "1",
            trusted_hosts=tuple(host.strip() for host in hosts if host.strip()),
        )


def _parsed_or(default: str, name: str, parse: Callable[[str], Value], form: str, source: Mapping[str, Any]) -> Value:
    """Return the setting `name`, or what `default` means when it is not set."""
    return parsed(name, parse, form, {name: source.get(name) or default})


def _proxies(source: Mapping[str, Any]) -> int:
    """Return the number of trusted proxies in front, 0 unless it is set."""
    given = {"GATEWAY_PROXIES": source.get("GATEWAY_PROXIES") or "0"}
    return parsed("GATEWAY_PROXIES", lambda text: integer(text, minimum=0), "NUMBER, from 0", given)


def _secret_keys(source: Mapping[str, Any]) -> list[str]:
    """Return the keys of GATEWAY_SECRET_KEY, comma-separated: the first signs, the others are still accepted."""
    keys = [key.strip() for key in required("GATEWAY_SECRET_KEY", source).split(",")]
    for key in keys:
        required("GATEWAY_SECRET_KEY", {"GATEWAY_SECRET_KEY": key})
        if len(key) < SECRET_KEY_CHARACTERS:
            raise MissingSetting("GATEWAY_SECRET_KEY", f"shorter than {SECRET_KEY_CHARACTERS} characters")
    return keys
