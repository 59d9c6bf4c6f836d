"""Caddy with our Caddyfile in front of gateways that are restarted, as during an upgrade."""

import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests

from dev.stack import free_ports
from dev.testing import ROOT, proxy, repeating, wait_for
from gateway.tests.gunicorn_process import GunicornProcess

CADDYFILE = (ROOT / "deploy/proxy/Caddyfile").read_text()
CADDY = Path(sys.prefix, "bin", "caddy")
HEALTH, WAIT = "127.0.0.1:2015", "duration 60s"


@contextmanager
def caddy(folder, gateways, scheme="http", wait="60s", **environ):
    """Run Caddy in front of gateways, for which it waits so long; yield its address."""
    ports = free_ports()
    port = ports.gateway
    config = folder / "Caddyfile"
    config.write_text(CADDYFILE.replace(HEALTH, f"127.0.0.1:{ports.metrics}").replace(WAIT, f"duration {wait}"))
    settings = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "PROXY_SITE": f"{scheme}://localhost:{port}",
        "PROXY_TO": " ".join(f"127.0.0.1:{each.port}" for each in gateways),
        **environ,
    }
    with (folder / "caddy.log").open("wb") as log:
        command = [CADDY, "run", "--config", str(config), "--adapter", "caddyfile"]
        process = subprocess.Popen(command, env=settings, cwd=folder, stderr=log)
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{ports.metrics}"), 20, "Caddy")
        yield f"{scheme}://localhost:{port}"
    finally:
        process.terminate()
        process.wait(20)


def answers(url, verify=True):
    try:
        return requests.get(url, timeout=1, verify=verify).ok
    except requests.RequestException:
        return False


@pytest.fixture
def gateways(tmp_path, request):
    """Two gateways with the settings that compose gives them, each with services of its own."""
    settings = getattr(request, "param", {})
    pair = [GunicornProcess(tmp_path / f"log-{n}", GATEWAY_PROXIES="1", **settings).start() for n in range(2)]
    for each in pair:
        wait_for(each.serves, 60, "gunicorn")
    yield pair
    for each in pair:
        each.stop()


def restart(gateway):
    """Restart as Docker does: SIGTERM, and a new one once that has ended."""
    gateway.master.send_signal(signal.SIGTERM)
    gateway.master.wait(30)
    gateway.start()
    wait_for(gateway.serves, 60, "gunicorn")


class Visitors:
    """People who read and write; `failed` is what was not as it should be, `answered` how often all was asked."""

    def __init__(self, url):
        self.url, self.failed, self.answered = url, [], 0

    def visit(self, http):
        try:
            shown = http.get(f"{self.url}/tickets", timeout=90)
            refused = http.post(f"{self.url}/api/users/signup", json={"email": "nobody"}, timeout=90)
            self.failed += [shown.text] * (shown.status_code != 200)
            self.failed += [refused.text] * (refused.status_code != 400)
        except requests.RequestException as error:
            self.failed.append(error)
        self.answered += 1


@contextmanager
def visiting(url, number=6):
    """Let so many people visit a site without a pause while the block runs; yield them."""
    visitors = Visitors(url)
    with ExitStack() as stack:
        people = [stack.enter_context(requests.Session()) for _ in range(number)]
        stack.enter_context(repeating([partial(visitors.visit, http) for http in people]))
        yield visitors


def test_nobody_sees_that_gateways_are_restarted_in_turn(tmp_path, gateways):
    with caddy(tmp_path, gateways) as url, visiting(url) as visitors:
        for gateway in (*gateways, *gateways):
            restart(gateway)

    assert visitors.failed == [] and visitors.answered > 50


def test_requests_wait_while_the_only_gateway_is_restarted(tmp_path, gateways):
    with caddy(tmp_path, gateways[:1]) as url, visiting(url) as visitors:
        gateways[0].master.send_signal(signal.SIGTERM)
        gateways[0].master.wait(30)
        time.sleep(3)  # while the new container is made
        gateways[0].start()
        wait_for(gateways[0].serves, 60, "gunicorn")

    assert visitors.failed == [] and visitors.answered > 10


def test_visitors_read_that_the_site_cannot_be_reached_when_no_gateway_comes(tmp_path):
    with caddy(tmp_path, [SimpleNamespace(port=1)], wait="500ms") as url:
        page, api = (requests.get(f"{url}{path}", timeout=20) for path in ("/tickets", "/api/tickets"))

    assert (page.status_code, api.status_code) == (502, 502)
    assert "The site cannot be reached at the moment." in page.text and "im Moment nicht erreichbar" in page.text
    assert (
        "cannot be reached at the moment" in api.json()["errors"][0]["message"] and page.headers["Retry-After"] == "30"
    )


def test_no_proxy_of_the_environment_reads_what_visitors_send(tmp_path):
    not_loopback = {"PROXY_TO": "0.0.0.0:1"}
    with proxy() as (address, asked), caddy(tmp_path, [], wait="500ms", http_proxy=address, **not_loopback) as url:
        assert requests.get(url, timeout=20).status_code == 502

    assert asked == []


def test_gateway_learns_the_clients_address_and_nobody_forges_one(tmp_path, gateways):
    with caddy(tmp_path, gateways[:1]) as url:
        http = HTTPConnection(url.removeprefix("http://"), source_address=("127.0.0.5", 0))
        http.request("POST", "/api/users/signin", headers={"X-Forwarded-For": "203.0.113.9"})
        with http.getresponse() as answer:
            assert answer.status == 400 and answer.read()
        http.close()

    log = gateways[0].log.read_text()
    assert 'client="127.0.0.5"' in log and "203.0.113.9" not in log and "GATEWAY_PROXIES" not in log


@pytest.mark.parametrize("gateways", [{"GATEWAY_TLS": "1"}], indirect=True)
def test_site_is_served_over_tls(tmp_path, gateways):
    with caddy(tmp_path, gateways, "https") as url:
        authority = tmp_path / "data/caddy/pki/authorities/local/root.crt"
        wait_for(authority.exists, 20)
        wait_for(lambda: answers(f"{url}/healthz", authority), 20, "a certificate")
        about = {"email": "ana@example.org", "password": "correct horse battery"}
        answer = requests.post(
            f"{url}/api/users/signup", json=about, headers={"Origin": url}, verify=authority, timeout=20
        )

    assert answer.status_code == 201 and "max-age" in answer.headers["Strict-Transport-Security"]
    assert "; Secure" in answer.headers["Set-Cookie"]
