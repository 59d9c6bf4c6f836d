"""Over TLS a server must show a certificate that we trust, for its name; RabbitMQ's is in test_broker_trouble.py."""

import subprocess
from collections.abc import Callable
from contextlib import contextmanager

import pytest
import redis
from pymongo.errors import ServerSelectionTimeoutError

from dev.stack import free_ports, install
from dev.stack.servers import answers
from dev.testing import self_signed, stack_folder, wait_for
from libs import database
from libs.redis import connect
from libs.settings import amqp_url, check_common

pytestmark = pytest.mark.integration


@contextmanager
def running(command, port):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: answers(port), 20)
        yield
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def certificate():
    with stack_folder() as folder:
        yield self_signed(folder)


@pytest.fixture(scope="module")
def mongo(certificate, tmp_path_factory):
    """The address of a mongod that accepts nothing but TLS."""
    folder, port = tmp_path_factory.mktemp("mongo"), free_ports().mongo
    both = folder / "both.pem"
    both.write_text("".join(file.read_text() for file in certificate))
    (folder / "data").mkdir()
    where = ("--dbpath", folder / "data", "--port", str(port), "--bind_ip", "127.0.0.1", "--nounixsocket")
    with running([install.mongod(), *where, "--tlsMode", "requireTLS", "--tlsCertificateKeyFile", both], port):
        yield f"mongodb://127.0.0.1:{port}/auth?tls=true"


@pytest.fixture(scope="module")
def jobs(certificate):
    """The address of a Redis that accepts nothing but TLS."""
    port = free_ports().redis
    files = ("--tls-cert-file", certificate[0], "--tls-key-file", certificate[1], "--tls-auth-clients", "no")
    with running(["redis-server", "--port", "0", "--tls-port", str(port), "--save", "", *files], port):
        yield f"rediss://127.0.0.1:{port}/"


@pytest.fixture
def trusted(certificate, monkeypatch):
    for name in ("MONGO_CA_FILE", "REDIS_CA_FILE"):
        monkeypatch.setenv(name, str(certificate[0]))


def ping_mongo(url, monkeypatch):
    monkeypatch.setattr(database, "TIMEOUT_SECONDS", 1)
    with database.connect(url).client as client:
        return client.admin.command("ping")["ok"]


@pytest.mark.usefixtures("trusted")
def test_mongo_is_reached_over_tls_with_a_certificate_that_we_trust(mongo, monkeypatch):
    assert ping_mongo(mongo, monkeypatch) == 1


def test_mongo_is_refused_with_a_certificate_that_nobody_we_trust_has_signed(mongo, monkeypatch):
    with pytest.raises(ServerSelectionTimeoutError, match="CERTIFICATE_VERIFY_FAILED"):
        ping_mongo(mongo, monkeypatch)


@pytest.mark.usefixtures("trusted")
def test_mongo_is_refused_by_a_name_that_its_certificate_lacks(mongo, monkeypatch):
    with pytest.raises(ServerSelectionTimeoutError, match="CERTIFICATE_VERIFY_FAILED"):
        ping_mongo(mongo.replace("127.0.0.1", "localhost"), monkeypatch)


READ: dict[str, Callable[[str], object]] = {
    "AMQP": amqp_url,
    "MONGO": lambda url: database.connect(url).client.close(),
    "REDIS": connect,
}
"""What each program does first with its addresses."""


@pytest.mark.parametrize(
    ("server", "url", "form"),
    [
        ("AMQP", "amqp://127.0.0.1:1/", "amqps://"),
        ("MONGO", "mongodb://127.0.0.1:1/auth", "tls=true"),
        ("MONGO", "mongodb://127.0.0.1:1/auth?tls=false", "tls=true"),
        ("REDIS", "redis://127.0.0.1:1/", "rediss://"),
    ],
)
def test_an_authority_for_an_address_without_tls_stops_the_start(server, url, form, certificate, monkeypatch):
    READ[server](url)
    monkeypatch.setenv(f"{server}_CA_FILE", str(certificate[0]))

    with pytest.raises(SystemExit) as stop:
        READ[server](url)

    assert str(stop.value).startswith(f"{server}_CA_FILE is set, while the address of its server is without {form}: ")


@pytest.mark.parametrize("server", ["AMQP", "MONGO", "REDIS"])
def test_a_file_without_a_certificate_is_no_authority(server, certificate, monkeypatch):
    monkeypatch.setenv(f"{server}_CA_FILE", str(certificate[1]))  # the key

    with pytest.raises(SystemExit, match=f"{server}_CA_FILE is not of the form the path of a file with certificates"):
        check_common()


def test_a_certificate_of_ours_for_an_address_without_tls_is_refused(certificate):
    with pytest.raises(ValueError, match="options of TLS without it"):
        connect(f"redis://127.0.0.1:1/?ssl_certfile={certificate[0]}")
    with pytest.raises(ValueError):  # noqa: PT011 - the setting's form is shown
        database.connect(f"mongodb://127.0.0.1:1/auth?tls=false&tlsCertificateKeyFile={certificate[0]}")


@pytest.mark.parametrize("option", ["tlsInsecure", "tlsAllowInvalidCertificates", "tlsAllowInvalidHostnames"])
def test_an_address_of_mongo_cannot_forgo_verification(option):
    with pytest.raises(ValueError):  # noqa: PT011 - the setting's form is shown
        database.connect(f"mongodb://127.0.0.1:1/auth?tls=true&{option}=true")


@pytest.mark.usefixtures("trusted")
def test_redis_is_reached_over_tls_with_a_certificate_that_we_trust(jobs):
    with connect(jobs) as client:
        assert client.ping()


def test_redis_is_refused_with_a_certificate_that_nobody_we_trust_has_signed(jobs):
    with connect(jobs) as client, pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        client.ping()


@pytest.mark.usefixtures("trusted")
def test_redis_is_refused_by_a_name_that_its_certificate_lacks(jobs):
    with (
        connect(jobs.replace("127.0.0.1", "localhost")) as client,
        pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        client.ping()


@pytest.mark.parametrize("option", ["ssl_cert_reqs=none", "ssl_check_hostname=false"])
def test_an_address_of_redis_cannot_forgo_verification(option):
    with pytest.raises(ValueError, match="always verified"):
        connect(f"rediss://127.0.0.1:1/?{option}")
