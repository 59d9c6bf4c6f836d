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

    Raises ValueError when `url` is no address, or forgoes verification.
    """
    if parse_qs(urlsplit(url).query).keys() & {"ssl_cert_reqs", "ssl_check_hostname"}:
        raise ValueError("certificates are always verified")
    verified = {"ssl_ca_certs": ca_file("REDIS")} if url.startswith("rediss://") else {}
    return Redis.from_url(url, socket_timeout=seconds, socket_connect_timeout=seconds, **verified)
