"""Caddy in front of a cluster: one address for the gateways, and one for RabbitMQ's management API."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from dev.stack.ports import HOST
from dev.stack.program import Program
from dev.stack.servers import answers

TEXT = """\
{{
	admin unix/{admin}
	auto_https off
	grace_period 20s
}}
http://:{site} {{
	bind {host}
	reverse_proxy {gateways} {{
		lb_try_duration 5s
		lb_try_interval 100ms
		fail_duration 2s
		health_uri /healthz
		health_interval 1s
		health_timeout 2s
		transport http {{
			dial_timeout 1s
			keepalive off
		}}
	}}
}}
http://:{management} {{
	bind {host}
	reverse_proxy {brokers} {{
		lb_policy first
		lb_try_duration 5s
		fail_duration 5s
		transport http {{
			dial_timeout 1s
			response_header_timeout 5s
		}}
	}}
}}
"""
"""A connection to a gateway is used once: one that is kept may end just as a request is sent over it."""


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
        command = ["caddy", "run", "--config", str(self._config), "--adapter", "caddyfile"]
        home = {"HOME": str(self._folder), "XDG_CONFIG_HOME": str(self._folder), "XDG_DATA_HOME": str(self._folder)}
        return Program("proxy", command, lambda: answers(self._site), home)

    def pass_to(self, gateways: Sequence[str]) -> None:
        """Pass new requests to these gateways alone; those under way go on."""
        self._write(gateways)
        command = ["caddy", "reload", "--config", str(self._config), "--adapter", "caddyfile", "--address", self._admin]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    @property
    def _config(self) -> Path:
        return self._folder / "Caddyfile"

    @property
    def _admin(self) -> str:
        return f"unix/{self._folder / 'admin.sock'}"

    def _write(self, gateways: Sequence[str]) -> None:
        self._folder.mkdir(exist_ok=True)
        self._config.write_text(
            TEXT.format(
                admin=self._folder / "admin.sock",
                site=self._site,
                management=self._management,
                host=HOST,
                gateways=" ".join(gateways),
                brokers=" ".join(self._brokers),
            )
        )
