"""Settings are read from the environment, once; one that is missing, a placeholder or malformed stops the start."""

import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

Value = TypeVar("Value")
Default = TypeVar("Default")

KEY_FORM = "ISSUER:NUMBER=BASE64, of 32 bytes"
UNKNOWN_KEY = "not the private key of one in TOKEN_PUBLIC_KEYS"
OPERATOR_KEY_FORM = "operator:NAME=BASE64, of 32 bytes"
MONGO_FORM = "mongodb://HOST:PORT/DATABASE"
REDIS_FORM = "redis://HOST:PORT/, or redis+sentinel://HOST:PORT,HOST:PORT/NAME for Sentinels"
AMQP_FORM = "amqp://USER:PASSWORD@HOST:PORT/VHOST, or several separated by ;"
URL_FORM = "http://HOST:PORT or https://HOST"
ADDRESS_FORM = "an IP address or a host name"
FLAG_FORM = "1 or 0"
HOST_NAME = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*", re.I | re.A
)

PLACEHOLDERS = ("secret", "password", "todo", "xxx", "dev", "test")
"""Values that are placeholders; those of the next line also as a part of a value, as in an address."""
PLACEHOLDER_PARTS = re.compile(r"change[-_]?me|placeholder|replace[-_]?me|<.*>|^\$\{", re.IGNORECASE)
OWN = ("MONGO_URL", "REDIS_URL", "SIGNING_KEY", "ENCRYPTION_KEY")
VARIABLES = {"AMQP_URI": "AMQP_URL", **{name: name for name in OWN}}
"""Settings that each service has of its own: `MONGO_URL` in its config.yml, `ORDERS_MONGO_URL` in the environment."""


class MissingSetting(SystemExit):
    """A setting is missing, a placeholder, malformed or of no use here; the message names the variable to set."""

    remedy = "set it in the environment"

    def __init__(self, name: str, problem: str, service: str = "") -> None:
        variable = f"{service.upper()}_{VARIABLES[name]}" if service and name in VARIABLES else name
        super().__init__(f"{variable} is {problem}: {self.remedy} (docs/settings.md says how).")


class ForbiddenSetting(MissingSetting):
    """A setting must not be set together with the others."""

    remedy = "remove it from the environment"


class UnusedSetting(MissingSetting):
    """A setting would have no effect with the address that is set."""

    remedy = "correct the address, or remove it from the environment"


def required(name: str, settings: Mapping[str, Any] | None = None, service: str = "") -> str:
    """Return the setting `name`, by default of the environment; stop the program when it is unset or a placeholder.

    `service`: the one whose config.yml the `settings` are, so that the message can name the environment's variable.
    """
    found = (os.environ if settings is None else settings).get(name)
    value = "" if found is None else str(found)  # a config.yml may have the number 0
    if not value.strip():
        raise MissingSetting(name, "not set", service)
    if value.strip().lower() in PLACEHOLDERS or PLACEHOLDER_PARTS.search(value):
        raise MissingSetting(name, "still a placeholder", service)
    return value.strip()


def parsed(
    name: str,
    parse: Callable[[str], Value],
    form: str,
    settings: Mapping[str, Any] | None = None,
    service: str = "",
) -> Value:
    """Return what `parse` makes of the setting `name`; stop the program when it raises ValueError.

    The message says which `form` the setting has, and nothing of its value, which may be a secret. `settings` and
    `service` are those of `required`.
    """
    value = required(name, settings, service)
    try:
        return parse(value)
    except ValueError as error:
        raise MissingSetting(name, f"not of the form {form}", service) from error


def optional(
    name: str, default: Default, parse: Callable[[str], Value], form: str, settings: Mapping[str, Any] | None = None
) -> Value | Default:
    """Return what `parse` makes of the setting `name`, `default` when it is unset or empty; else as `parsed`."""
    given = str((os.environ if settings is None else settings).get(name) or "").strip()
    return parsed(name, parse, form, {name: given}) if given else default


def integer(text: str, minimum: int = 1, maximum: int = 10**9) -> int:
    """Return the integer in `text`; raise ValueError when it is none, or not between the bounds."""
    digits = text.strip()
    if not digits.isascii() or not digits.isdigit() or not minimum <= int(digits) <= maximum:
        raise ValueError(text)
    return int(digits)


def between(minimum: int, maximum: int) -> tuple[Callable[[str], int], str]:
    """Return the parser and the form of a setting that is an integer between two bounds."""
    return partial(integer, minimum=minimum, maximum=maximum), f"NUMBER, from {minimum} to {maximum}"


PORT = between(1, 65535)


def flag(text: str) -> bool:
    """Return whether `text` is 1; raise ValueError when it is neither that nor 0."""
    return bool(integer(text, 0, 1))


def choice(*values: str) -> tuple[Callable[[str], str], str]:
    """Return the parser and the form of a setting that is one of `values`, in either case."""

    def parse(text: str) -> str:
        found = {value.lower(): value for value in values}.get(text.strip().lower())
        if found is None:
            raise ValueError(text)
        return found

    return parse, f"{', '.join(values[:-1])} or {values[-1]}"


def address(text: str) -> str:
    """Return the IP address or host name in `text`; raise ValueError when it is neither."""
    if HOST_NAME.fullmatch(text) and not text.replace(".", "").isdigit():
        return text.lower()
    return str(ip_address(text.removeprefix("[").removesuffix("]")))


def amqp_url(text: str) -> str:
    """Return the address of one broker or several, all with TLS or none; raise ValueError when one is malformed.

    Stops the start when it is without TLS, and AMQP_CA_FILE is set.
    """
    urls = text.split(";")
    for url in urls:
        _check_url(url, (urls[0].partition("://")[0],) if urls[0].startswith(("amqp:", "amqps:")) else ())
        if re.search("[?#]", url):  # not escaped in a password, or an option, which the connection would obey
            raise ValueError("more than a virtual host")
    ca_file("AMQP", has_tls=urls[0].startswith("amqps:"))
    return text


def web_url(text: str) -> str:
    """Return the address of a web server without a / at its end; raise ValueError when it is malformed."""
    url = text.rstrip("/")
    _check_url(url, ("http", "https"))
    if url.partition("://")[2] != urlsplit(url).netloc or "@" in url:
        raise ValueError("more than a host and a port")
    return url


def public_url(text: str) -> str:
    """Return the address of the site as browsers send it in `Origin`: without the port that its scheme has anyway.

    Raises ValueError when passkeys could not belong to it.
    They belong to a host name, and need TLS or the browser's own machine (https://www.w3.org/TR/webauthn-3/).
    """
    url = web_url(text).lower()
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host or host.replace(".", "").isdigit():
        raise ValueError("an IP address")
    if parts.scheme != "https" and host != "localhost":
        raise ValueError("without TLS")
    return url.removesuffix({"http": ":80", "https": ":443"}[parts.scheme])


PUBLIC_URL = (public_url, "https://HOST, or http://localhost:PORT; no IP address")


def folder(text: str) -> str:
    """Return the path of a folder; raise ValueError when there is none."""
    if not Path(text).is_dir():
        raise ValueError(text)
    return text


def certificates(text: str) -> str:
    """Return the path of a file with certificates; raise ValueError when there is none."""
    try:
        if b"CERTIFICATE-----" in Path(text).read_bytes():
            return text
    except OSError as error:
        raise ValueError(text) from error
    raise ValueError(text)


def _check_url(url: str, schemes: tuple[str, ...]) -> None:
    parts = urlsplit(url)
    if url.partition("://")[0] not in schemes or not parts.hostname or parts.port == 0 or re.search(r"\s", url):
        raise ValueError("malformed")
    if parts.netloc.endswith(":"):
        raise ValueError("without the port that it announces")
    address(parts.hostname)


# What every program reads


def log_level() -> str:
    """Return LOG_LEVEL; stop the start when it names no level."""
    return optional("LOG_LEVEL", "INFO", *choice("DEBUG", "INFO", "WARNING", "ERROR"))


def log_format() -> str:
    """Return LOG_FORMAT; stop the start when it names no format."""
    return optional("LOG_FORMAT", "text", *choice("text", "json"))


def queue_type() -> str:
    """Return QUEUE_TYPE; stop the start when it names no type."""
    return optional("QUEUE_TYPE", "classic", *choice("classic", "quorum"))


def read_preference() -> str:
    """Return MONGO_READ_PREFERENCE; stop the start when it names none."""
    return optional("MONGO_READ_PREFERENCE", "primary", *choice("primary", "secondaryPreferred", "nearest"))


def write_concern() -> str:
    """Return MONGO_WRITE_CONCERN; stop the start when it is a number, which might be less than a majority."""
    return optional("MONGO_WRITE_CONCERN", "majority", mode, "majority, or the name of a custom write concern")


def mode(text: str) -> str:
    """Return the name of a write concern; raise ValueError when it is none, or a number."""
    if not re.fullmatch(r"[A-Za-z][\w.-]*", text, re.A):
        raise ValueError(text)
    return text


CA_FILES = {"AMQP": "AMQP_CA_FILE", "MONGO": "MONGO_CA_FILE", "REDIS": "REDIS_CA_FILE"}


TLS_FORMS = {"AMQP": "amqps://", "MONGO": "tls=true", "REDIS": "rediss://"}


def ca_file(server: str, has_tls: bool = True) -> str | None:
    """Return AMQP_CA_FILE, MONGO_CA_FILE or REDIS_CA_FILE; stop the start when no certificate can be read in it.

    `has_tls`: whether the server's address has TLS. Without, nothing would be verified, and the start stops, too.
    """
    found = optional(CA_FILES[server], None, certificates, "the path of a file with certificates, in PEM")
    if found and not has_tls:
        raise UnusedSetting(CA_FILES[server], f"set, while the address of its server is without {TLS_FORMS[server]}")
    return found


def ca_files() -> list[str | None]:
    """Return all of them; stop the start when one cannot be read."""
    return [ca_file(server) for server in CA_FILES]


def verify_seconds() -> int:
    """Return BROKER_VERIFY_SECONDS; stop the start when it is out of bounds."""
    return optional("BROKER_VERIFY_SECONDS", 30, *between(1, 30))


def metrics_address() -> tuple[str, int | None]:
    """Return METRICS_HOST and METRICS_PORT; stop the start when one is malformed."""
    return optional("METRICS_HOST", "127.0.0.1", address, ADDRESS_FORM), optional("METRICS_PORT", None, *PORT)


def otlp_url(text: str) -> str:
    """Return the address of a collector of traces, which may have a path; raise ValueError when it is malformed."""
    _check_url(text, ("http", "https"))
    if "?" in text or "#" in text or "@" in text:
        raise ValueError("more than a host, a port and a path")
    return text


_SAMPLERS = ("traceidratio", "always_on", "always_off")
SAMPLERS = (*(f"parentbased_{name}" for name in _SAMPLERS), *_SAMPLERS)


def ratio(text: str) -> float:
    """Return the number from 0 to 1 in `text`; raise ValueError when it is none."""
    found = float(text)
    if not 0 <= found <= 1:
        raise ValueError(text)
    return found


def trace_endpoint() -> str | None:
    """Return OTEL_EXPORTER_OTLP_ENDPOINT; stop the start when it, or how to sample, is malformed."""
    trace_ratio()
    trace_sampler()
    return optional("OTEL_EXPORTER_OTLP_ENDPOINT", None, otlp_url, URL_FORM)


def trace_sampler() -> str:
    """Return OTEL_TRACES_SAMPLER, one of SAMPLERS; stop the start when it is malformed."""
    return optional("OTEL_TRACES_SAMPLER", "parentbased_traceidratio", *choice(*SAMPLERS))


def trace_ratio() -> float:
    """Return OTEL_TRACES_SAMPLER_ARG; stop the start when it is malformed."""
    return optional("OTEL_TRACES_SAMPLER_ARG", 0.1, ratio, "NUMBER, from 0 to 1")


def check_common() -> None:
    """Stop the start when a setting of every program is malformed, before anything uses it."""
    reads = (log_level, log_format, queue_type, ca_files, verify_seconds, metrics_address)
    for read in (*reads, read_preference, write_concern, trace_endpoint):
        read()
