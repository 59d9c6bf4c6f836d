"""Connecting to Redis: with a timeout for every command, over TLS with `rediss://`.

With TLS the server must show a certificate for its name, signed by the CA in the file REDIS_CA_FILE, or by one that the
system trusts if that is unset.

For a replicated Redis the address is that of the Sentinels, `redis+sentinel://HOST,HOST/NAME` or
`rediss+sentinel://…`, which have the same users as Redis. They are asked for each new connection, so that a command
after a failover goes to the new primary.
"""

from string import digits
from typing import Any
from urllib.parse import parse_qs, urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from libs.settings import ca_file

TIMEOUT_SECONDS = 5
SENTINEL_SECONDS = 1
SENTINEL_PORT = 26379
SENTINELS = ("redis+sentinel://", "rediss+sentinel://")
ONCE = Retry(NoBackoff(), 0)


def connect(url: str, seconds: float = TIMEOUT_SECONDS) -> Redis:
    """Return a connection that is not open yet, for commands of `seconds` at most.

    Raises ValueError when `url` is no address, disables verification or has options of TLS without it. Stops the start
    when it is without TLS, and REDIS_CA_FILE is set.
    """
    has_tls, options = url.startswith("rediss"), parse_qs(urlsplit(url).query).keys()
    if options & {"ssl_cert_reqs", "ssl_check_hostname"}:
        raise ValueError("certificates are always verified")
    if not has_tls and any(name.startswith("ssl_") for name in options):
        raise ValueError("options of TLS without it")
    authority = ca_file("REDIS", has_tls)
    verified = {"ssl_ca_certs": authority} if has_tls else {}
    timeouts = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
    if url.startswith(SENTINELS):
        return _primary(url, **verified, **timeouts)
    return Redis.from_url(url, **verified, **timeouts)


def _primary(url: str, **options: Any) -> Redis:
    """Return a connection to the server that the Sentinels name at that time."""
    scheme, _, rest = url.partition("+sentinel://")
    place, _, path = rest.partition("/")
    user, at, hosts = place.rpartition("@")
    name, _, database = path.partition("/")
    if not name or "?" in path or set(database) - set(digits):
        raise ValueError("without the name by which Sentinels know the server, or more than that and a number")
    given = [parse_url(f"{scheme}://{user}{at}{host}/{database}") for host in hosts.split(",")]
    if not all(each.get("host") for each in given):
        raise ValueError("without a host")
    common = {key: value for key, value in given[0].items() if key in ("username", "password")} | options
    common["ssl"] = scheme == "rediss"
    asking = {**common, "socket_timeout": SENTINEL_SECONDS, "socket_connect_timeout": SENTINEL_SECONDS, "retry": ONCE}
    sentinels = [(each["host"], each.get("port", SENTINEL_PORT)) for each in given]
    return Sentinel(sentinels, sentinel_kwargs=asking, db=given[0].get("db", 0), **common).master_for(name)
