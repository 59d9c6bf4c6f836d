"""Opening Redis: with a timeout for every command, over TLS if the address says so (`rediss://`).

Then the server must show a certificate for its name, signed by the authority in the file REDIS_CA_FILE; unset, by one
that the system trusts.
"""

from urllib.parse import parse_qs, urlsplit

from redis import Redis

from libs.settings import ca_file

TIMEOUT_SECONDS = 5


def connect(url: str, seconds: float = TIMEOUT_SECONDS) -> Redis:
    """Return a connection that is not open yet, for commands of `seconds` at most.

    Raises ValueError when `url` is no address, forgoes verification or has options of TLS without it. Stops the start
    when it is without TLS, and REDIS_CA_FILE is set.
    """
    has_tls, options = url.startswith("rediss://"), parse_qs(urlsplit(url).query).keys()
    if options & {"ssl_cert_reqs", "ssl_check_hostname"}:
        raise ValueError("certificates are always verified")
    if not has_tls and any(name.startswith("ssl_") for name in options):
        raise ValueError("options of TLS without it")
    authority = ca_file("REDIS", has_tls)
    verified = {"ssl_ca_certs": authority} if has_tls else {}
    return Redis.from_url(url, socket_timeout=seconds, socket_connect_timeout=seconds, **verified)
