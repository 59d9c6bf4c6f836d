"""Caddy in front of a cluster, as in front of containers: one address for the gateways, and one for RabbitMQ's API."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from dev.stack.install import VIRTUAL_ENVIRONMENT
from dev.stack.ports import HOST
from dev.stack.servers import answers
from dev.stack.supervisor import ROOT, Program

CADDYFILE = (ROOT / "deploy/proxy/Caddyfile").read_text()
CADDY = str(VIRTUAL_ENVIRONMENT / "bin/caddy")
ADMIN = "admin off"
"""Replaced: in containers nothing changes the proxy's configuration."""
HEALTH = "http://127.0.0.1:2015 {\n\trespond alive\n}"
"""Replaced: in containers the proxy answers probes, here it leads to the brokers."""
TRIED = "lb_try_interval 100ms\n"
CHECKED = """\
		health_uri /healthz
		health_interval 1s
		health_timeout 2s
"""
"""Added: with several gateways, one that is not alive gets no requests."""
BROKERS = """\
http://:{management} {{
	reverse_proxy {brokers} {{
		lb_policy first
		lb_try_duration 5s
		fail_duration 5s
		transport http {{
			dial_timeout 1s
			response_header_timeout 5s
		}}
	}}
}}"""


class Proxy:
    """Passes requests to the gateways, at addresses HOST:PORT, and to the first of the brokers that answers."""

    def __init__(self, folder: Path, site: int, management: int, brokers: Sequence[str]) -> None:
        self._folder = folder
        self._site = site
        self._management = management
        self._brokers = brokers

    def program(self, gateways: Sequence[str]) -> Program:
        """Write the configuration and return the proxy."""
        self._write(gateways)
        command = [CADDY, "run", "--config", str(self._config), "--adapter", "caddyfile"]
        home = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), str(self._folder))
        return Program("proxy", command, lambda: answers(self._site), home)

    def pass_to(self, gateways: Sequence[str]) -> None:
        """Pass new requests to these gateways alone; those under way go on."""
        self._write(gateways)
        command = [CADDY, "reload", "--config", str(self._config), "--adapter", "caddyfile", "--address", self._admin]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    @property
    def _config(self) -> Path:
        return self._folder / "Caddyfile"

    @property
    def _admin(self) -> str:
        return f"unix/{self._folder / 'admin.sock'}"

    def _write(self, gateways: Sequence[str]) -> None:
        self._folder.mkdir(exist_ok=True)
        brokers = BROKERS.format(management=self._management, brokers=" ".join(self._brokers))
        changes = {
            ADMIN: f'admin "{self._admin}"\n\tdefault_bind {HOST}\n\tauto_https off\n\tgrace_period 20s',
            HEALTH: brokers,
            TRIED: TRIED + CHECKED,
            "{$PROXY_SITE::80}": f"http://:{self._site}",
            "{$PROXY_TO:gateway:8000}": " ".join(gateways),
        }
        text = CADDYFILE
        for found, instead in changes.items():
            assert found in text, f"deploy/proxy/Caddyfile has no {found}"
            text = text.replace(found, instead)
        self._config.write_text(text)
