"""The gateway with fake services, served by the gunicorn that production runs."""

import os
import subprocess
import sys
import time
from pathlib import Path

import requests

from dev.stack.ports import free_ports
from gateway.app import create_app
from gateway.tests.fakes import SETTINGS, FakeServices

COMMAND = ["-m", "gunicorn", "-c", "gateway/gunicorn.conf.py", "gateway.tests.gunicorn_process:app()"]


def app():
    """Return the gateway; its services forget everything when their process ends, and /slow takes a minute."""
    services = FakeServices()
    served = create_app(services, {**os.environ, **SETTINGS}, services.revocations())
    served.add_url_rule("/slow", view_func=lambda: time.sleep(60) or "")
    return served


class GunicornProcess:
    """A gunicorn that may be started several times on the same ports; `log` is its output."""

    def __init__(self, log, **settings):
        ports = free_ports()
        self.log, self.port, self.metrics_port = log, ports.gateway, ports.metrics
        chosen = {"GATEWAY_PORT": str(self.port), "METRICS_PORT": str(self.metrics_port)}
        self._environ = {**os.environ, **SETTINGS, **chosen, **settings}
        self.master = None

    def start(self, open_files=None):
        """Start it; `open_files`: how many files it may open, as prlimit's option --nofile wants it."""
        limit = ["prlimit", f"--nofile={open_files}"] if open_files else []
        with self.log.open("ab") as log:
            command = [*limit, sys.executable, *COMMAND]
            self.master = subprocess.Popen(command, env=self._environ, stdout=log, stderr=subprocess.STDOUT)
        return self

    def stop(self):
        self.master.kill()
        self.master.wait(10)

    @property
    def workers(self):
        """The process ids of the workers."""
        children = Path(f"/proc/{self.master.pid}/task/{self.master.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def get(self, path, port=None, timeout=5):
        return requests.get(f"http://127.0.0.1:{port or self.port}{path}", timeout=timeout)

    def serves(self):
        """Return whether a worker of the present master answers."""
        try:
            return bool(self.workers) and self.get("/healthz", timeout=0.5).ok
        except requests.RequestException:
            return False
