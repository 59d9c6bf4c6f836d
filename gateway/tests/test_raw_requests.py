"""Requests as bytes on a socket of a real gunicorn: whatever they are, the answer looks like every other one."""

import gzip
import json
import re
import select
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from gunicorn.http.errors import LimitRequestLine

from dev.testing import wait_for
from gateway.app import create_app
from gateway.errors import BODY_SECONDS
from gateway.tests.conftest import create_test_app
from gateway.tests.fakes import SETTINGS, FakeServices, never_revoked
from gateway.tests.gunicorn_process import GunicornProcess
from gateway.worker import UnreadableRequest, Worker

pytestmark = pytest.mark.xdist_group("one gunicorn")  # which costs as much as all of these tests

KINDS = {
    "/api/tickets": "application/json",
    "/api/webhooks/stripe": "application/json",
    "/sell": "application/x-www-form-urlencoded",
    "/signin": "application/x-www-form-urlencoded",
}
SEARCHES = ("/api/tickets", "/api", "http://localhost/api/tickets", "/", "/apiary", "http://localhost/")
CHUNKED = "Transfer-Encoding: chunked\r\n"
LATER = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def gunicorn(tmp_path_factory):
    gunicorn = GunicornProcess(tmp_path_factory.mktemp("gunicorn") / "log", LOG_FORMAT="json").start()
    wait_for(gunicorn.serves, 60, "gunicorn")
    yield gunicorn
    gunicorn.stop()


@pytest.fixture(scope="module", autouse=True)
def slow(gunicorn):
    """Send bodies that never end while other tests run; return a future of the answer to each, and of its seconds."""
    browser = create_test_app(FakeServices(), never_revoked()).test_client()
    browser.post("/api/users/signup", json={"email": "slow@example.com", "password": "correct horse battery"})
    cookie = f"Cookie: ticketing-session={browser.get_cookie('ticketing-session').value}\r\n"

    def trickle(path):
        with socket.create_connection(("127.0.0.1", gunicorn.port), 20) as client:
            client.sendall(post(path, f"{cookie}Content-Length: 1000\r\n", "").encode())
            began = time.monotonic()
            while not select.select([client], [], [], 1)[0]:
                if nobody_waits.is_set():
                    return None
                client.sendall(b"x")
            return client.recv(4096).split()[1], time.monotonic() - began

    nobody_waits = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        yield [pool.submit(trickle, path) for path in ("/api/tickets", "/sell")]
        nobody_waits.set()


@pytest.fixture
def send(gunicorn):
    """Return a function that sends bytes, and returns status, headers and body of the first response."""
    began = len(gunicorn.log.read_text())

    def send(raw, then_close=False):
        raw = raw if isinstance(raw, bytes) else raw.encode("latin-1")
        with socket.create_connection(("127.0.0.1", gunicorn.port), 30) as connection:
            connection.sendall(raw)
            if then_close:
                connection.shutdown(socket.SHUT_WR)
            received = b"".join(iter(lambda: connection.recv(65536), b""))
        received = received.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        head, _, body = received.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        return int(status.split()[1]), headers, body.decode()

    yield send
    assert "Traceback" not in gunicorn.log.read_text()[began:]


def post(path, headers, body):
    kind = KINDS.get(path, "application/json")
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {kind}"
    return f"{head}\r\n{headers}\r\n{body}"


def get(target, headers="Host: localhost\r\n", method="GET"):
    return f"{method} {target} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n"


def check_looks_like_ours(path, headers, body):
    assert headers["X-Request-Id"] and headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Connection"] == "close"
    if f"{path}/".removeprefix("http://localhost").startswith("/api/"):
        assert headers["Content-Type"] == "application/json"
        assert json.loads(body)["errors"][0]["message"]
    else:
        assert headers["Content-Type"].startswith("text/html") and "<h1>" in body


@pytest.mark.parametrize("path", KINDS)
@pytest.mark.parametrize(
    "body",
    [
        "zz\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcdef\r\n0\r\n\r\n",
        "3;=\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\nnonsense\r\n\r\n",
        "3\r\nabc\r\n0\r\nHost: x\r\n\r\n",
    ],
)
def test_badly_chunked_body_is_400(send, path, body):
    status, headers, text = send(post(path, CHUNKED, body))

    assert status == 400
    check_looks_like_ours(path, headers, text)


@pytest.mark.parametrize("path", KINDS)
def test_body_that_ends_in_the_middle_of_a_chunk_is_400(send, path):
    status, headers, text = send(post(path, CHUNKED, "10\r\nabc"), then_close=True)

    assert status == 400
    check_looks_like_ours(path, headers, text)


@pytest.mark.parametrize("path", KINDS)
@pytest.mark.parametrize(
    "coding", ["Content-Encoding: gzip", "Content-Encoding: br", "Transfer-Encoding: gzip, chunked"]
)
def test_compressed_body_is_415_and_says_what_to_do(send, path, coding):
    body = gzip.compress(b"{}").decode("latin-1")
    if "chunked" in coding:
        body = f"{len(body):x}\r\n{body}\r\n0\r\n\r\n"
    else:
        coding += f"\r\nContent-Length: {len(body)}"

    status, headers, text = send(post(path, f"{coding}\r\n", body))

    assert status == 415 and "not compressed" in text
    check_looks_like_ours(path, headers, text)


@pytest.mark.parametrize("path", KINDS)
@pytest.mark.parametrize(
    "length", ["x", "-1", "+1", "\xb2", "9" * 5000, "2\r\nContent-Length: 2", f"2\r\n{CHUNKED[:-2]}"]
)
def test_length_that_is_none_is_400(send, path, length):
    status, headers, text = send(post(path, f"Content-Length: {length}\r\n", "{}"))

    assert status == 400
    check_looks_like_ours(path, headers, text)


def test_no_client_says_by_a_header_over_which_scheme_it_came(send):
    answers = [
        send(post("/api/users/signout", f"X-Forwarded-Proto: https\r\nOrigin: {scheme}://localhost\r\n", ""))[0]
        for scheme in ("https", "http")
    ]

    assert answers == [403, 200]


@pytest.mark.parametrize("path", SEARCHES)
@pytest.mark.parametrize("length", [8_200, 200_000])
def test_address_that_is_too_long_is_414(send, path, length):
    status, headers, text = send(get(f"{path}?q={'a' * length}"))

    assert status == 414 and "is too long" in text
    check_looks_like_ours(path, headers, text)


@pytest.mark.parametrize("path", ["/sell", "/signin"])
def test_a_chunked_form_that_is_too_large_is_413(send, path):
    chunk = f"{60_000:x}\r\na={'x' * 59_998}\r\n"

    status, headers, text = send(post(path, CHUNKED, f"{chunk}{chunk}0\r\n\r\n"))

    assert status == 413
    check_looks_like_ours(path, headers, text)


@pytest.mark.parametrize("path", SEARCHES)
@pytest.mark.parametrize(
    "headers",
    [
        f"Cookie: a={'x' * 9000}\r\n",
        "".join(f"X-{n}: x\r\n" for n in range(200)),
        f"If-None-Match: {',' * 8000}\r\n" * 5,  # each comma would be looked at
    ],
)
def test_headers_that_are_too_large_are_431(send, path, headers):
    status, headers, text = send(get(path, f"Host: localhost\r\n{headers}"))

    assert status == 431 and "cookies" in text
    check_looks_like_ours(path, headers, text)


@pytest.mark.parametrize("path", SEARCHES)
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("GET {} HTTP/2.0", 400),
        ("get {} HTTP/1.1", 400),
        ("GET {}\x00 HTTP/1.1", 400),
        ("GET {}\xff HTTP/1.1", 400),
        ("GET {} HTTP/1.1\r\nnonsense", 400),
        ("GET {} HTTP/1.1\r\nX: a\x00b", 400),
        ("GET {} HTTP/1.1\r\nX: a\r\n b", 400),
        ("GET {} HTTP/1.1\r\nHost: a\r\nHost: b", 400),
        ("POST {} HTTP/1.1\r\nHost: localhost\r\nExpect: tea", 417),
        ("POST {} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: br, chunked", 501),
    ],
)
def test_request_that_cannot_be_read_is_refused_like_any_other(send, path, line, expected):
    status, headers, text = send(f"{line.format(path)}\r\n\r\n")

    assert status == expected and "our side" not in text
    check_looks_like_ours(path, headers, text)


@pytest.mark.parametrize(
    "raw",
    [b"GET /\r\n\r\n", b"\x00\xff\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET http://[/ HTTP/1.1\r\n\r\n"],
)
def test_what_is_no_request_is_400_as_a_page(send, raw):
    status, headers, text = send(raw)

    assert status == 400
    check_looks_like_ours("/", headers, text)


@pytest.mark.parametrize(
    "target", ["/%00", "/%ff%fe", "/tickets/%00", "/orders/%ff", "/static/%00", "/static/%ff", "/tickets?q=%ff"]
)
@pytest.mark.parametrize("headers", ["", "Cookie: session=\xff; =;;a\r\n", "SCRIPT_NAME: /x\r\nPATH_INFO: /y\r\n"])
def test_strange_paths_queries_and_headers_are_no_error_of_ours(send, target, headers):
    status, _, _ = send(get(target, f"Host: localhost\r\n{headers}"))

    assert status < 500


@pytest.mark.parametrize("target", ["http://localhost/api/tickets", "http://localhost/"])
def test_address_with_a_host_is_understood(send, target):
    assert send(get(target))[0] == 200


@pytest.mark.parametrize(("path", "expected"), [("/api/tickets", 401), ("/sell", 403)])
def test_client_that_asks_before_it_sends_is_answered(send, path, expected):
    status, _, _ = send(post(path, "Expect: 100-continue\r\nContent-Length: 2\r\n", "{}"))

    assert status == expected


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PATCH"])
def test_every_route_answers_every_method(send, app, method):
    for rule in app.url_map.iter_rules():
        target = re.sub("<[^>]+>", "0" * 24, rule.rule)
        status, _, _ = send(get(target, method=method))
        assert status < 500, target


def test_bad_body_of_an_answered_request_ends_the_connection_without_another_answer(send):
    status, _, rest = send(f"GET /api/tickets HTTP/1.1\r\nHost: localhost\r\n{CHUNKED}\r\nzz\r\n{LATER}")

    assert status == 200 and "HTTP/1.1" not in rest


def test_request_that_cannot_be_read_is_refused_alike_where_hosts_are_checked(services, revocations):
    app = create_app(services, SETTINGS | {"GATEWAY_TRUSTED_HOSTS": ".example.com"}, revocations)
    refused = UnreadableRequest(LimitRequestLine(9000, 8190), is_api=False)

    assert b"<h1>" in Worker._answer(SimpleNamespace(_application=app), refused, ("127.0.0.1", 50000))


FORGED = "2026-11-26T00:00:00.000Z ERROR libs.alarms [-] ALARM wrong_amount: 1"
PLANTED = f"\x1b[31m\r\n{FORGED}\u2028\x9b2J"
IN_A_PATH = quote(PLANTED)
PLANTS = {
    "path": get(f"/tickets/{IN_A_PATH}"),
    "path of the API": get(f"/api/tickets/%ff{IN_A_PATH}"),
    "query": get(f"/api/tickets?limit=none&q={IN_A_PATH}"),
    "request line that cannot be read": get(f"/\x1b[31m{FORGED}"),
    "header": get("/", f"Host: localhost\r\nX-Request-Id: \x1b[31m{FORGED}\r\nUser-Agent: {FORGED}\r\n"),
    "header that cannot be read": get("/", f"Host: localhost\r\n\x1b[31m{FORGED}\r\n"),
    "proxy": get("/", f"Host: localhost\r\nX-Forwarded-For: \x1b[31m{FORGED}, 192.0.2.1\r\n"),
    "method": get("/", method="\x1b[31m"),
    "origin of a form": post("/sell", f"Origin: http://{FORGED}\r\nContent-Length: 2\r\n", "a="),
    **{
        f"email in {path}": post(path, f"Content-Length: {len(body)}\r\n", body)
        for path, body in (
            ("/api/users/signin", json.dumps({"email": PLANTED, "password": "a long one"})),
            ("/signin", f"email={IN_A_PATH}&password=a+long+one"),
        )
    },
}


@pytest.mark.parametrize("place", PLANTS)
def test_nobody_writes_a_line_into_the_log_or_moves_a_terminals_cursor(send, gunicorn, place):
    began = len(gunicorn.log.read_bytes())

    send(PLANTS[place])

    wait_for(lambda: gunicorn.log.read_bytes().endswith(b"\n") and len(gunicorn.log.read_bytes()) > began)
    written = gunicorn.log.read_bytes()[began:]
    assert written.isascii() and b"\x1b" not in written
    lines = [json.loads(line) for line in written.splitlines()]
    assert not [line for line in lines if line["message"].startswith(FORGED) or "alarm" in line]


def test_a_response_comes_in_one_packet(gunicorn):
    with socket.create_connection(("127.0.0.1", gunicorn.port), 30) as connection:
        for target, method, body in (
            ("/healthz", "GET", b"}\n"),
            ("/healthz", "HEAD", b""),
            ("/", "GET", b"</html>"),
        ):
            connection.sendall(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            packet = connection.recv(65536)

            assert packet.startswith(b"HTTP/1.1 200") and packet.partition(b"\r\n\r\n")[2].rstrip().endswith(
                body.rstrip()
            )
            assert body or packet.endswith(b"\r\n\r\n")


def test_a_request_that_only_reads_and_has_no_error_is_not_logged(send, gunicorn):
    _, dull, _ = send(get("/"))
    _, logged, _ = send(get("/tickets/nosuch"))

    wait_for(lambda: logged["X-Request-Id"] in gunicorn.log.read_text())
    assert dull["X-Request-Id"] not in gunicorn.log.read_text()


def test_each_request_is_logged_with_its_time_client_and_correlation_id(send, gunicorn):
    _, headers, _ = send(get("/tickets/a%0ab?secret=never"))

    def logged():
        lines = [json.loads(line) for line in gunicorn.log.read_text().splitlines()]
        return [line for line in lines if line["correlation_id"] == headers["X-Request-Id"]]

    (line,) = wait_for(logged)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    about = ("logger", "client", "method", "path", "status")
    assert [line[name] for name in about] == ["gunicorn.access", "127.0.0.1", "GET", "/tickets/a\nb", 404]
    assert "never" not in gunicorn.log.read_text()


def test_gunicorns_master_logs_in_the_same_format(gunicorn):
    lines = [json.loads(line) for line in gunicorn.log.read_text().splitlines()]

    assert "Starting gunicorn" in lines[0]["message"] and lines[0]["level"] == "INFO"


def test_a_slow_body_is_408_after_ten_seconds(slow):
    answers = [answer.result() for answer in slow]  # which the tests above have not waited for

    assert [status for status, _ in answers] == [b"408", b"408"]
    assert all(BODY_SECONDS <= seconds < BODY_SECONDS + 5 for _, seconds in answers)
