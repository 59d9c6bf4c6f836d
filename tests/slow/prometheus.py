"""A running system that Debian's Prometheus scrapes, with our rules."""

import os
import signal
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pymongo
import redis
import requests
import yaml
from prometheus_client import CollectorRegistry, Gauge, start_http_server

from conftest import SETTINGS
from dev.stack import Stack, free_ports, install
from dev.stack.ports import HOST, SERVE_METRICS
from dev.testing import ROOT, repeating, stack_folder, wait_for
from tests.e2e.people import Operator, Person, Sessions

FOLDER = ROOT / "deploy/monitoring"


class Site:
    """A running system, its Prometheus at `url`, and people who use it."""

    def __init__(self, system, url, mongo):
        self.system, self.url, self.mongo = system, url, mongo
        self.sessions, self.operator = Sessions(system), Operator(system)

    def person(self, name):
        return self.sessions.begin(Person(self.system.gateway_url, name))

    def firing(self):
        """Return the names of the alerts that fire."""
        alerts = requests.get(f"{self.url}/api/v1/alerts", timeout=10).json()["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def query(self, expression):
        """Return the samples that an expression has now, as Prometheus writes them."""
        answer = requests.get(f"{self.url}/api/v1/query", {"query": expression}, timeout=30)
        return answer.json()["data"]["result"]

    @contextmanager
    def stopped(self, *names):
        self.system.stop_program(*names)
        try:
            yield
        finally:
            for name in names:
                self.system.start_program(name)
            for name in self.system.programs:  # a server's absence may have ended others
                self.system.wait_ready(name)

    @contextmanager
    def busy(self, act, people=1, pause=0.2):
        """Have so many people do `act(buyer, seller)` again and again while the block runs, whatever the answers."""
        ended = threading.Event()

        def go_on():
            buyer, seller = self.person("bo"), self.person("ana")
            while not ended.is_set():
                with suppress(requests.RequestException, AssertionError, KeyError):
                    act(buyer, seller)
                ended.wait(pause)

        threads = [threading.Thread(target=go_on) for _ in range(people)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            for thread in threads:
                thread.join()

    @contextmanager
    def stuttering(self, name, stopped_seconds, running_seconds):
        """Pause a program again and again while the block runs."""
        pid = self.system.pid(name)

        def stutter():
            os.kill(pid, signal.SIGSTOP)
            time.sleep(stopped_seconds)
            os.kill(pid, signal.SIGCONT)
            time.sleep(running_seconds)

        with repeating([stutter]):
            yield


class WatchedStack(Stack):
    """A stack whose broker serves its metrics, as its image in compose does."""

    def _servers(self):
        programs, folder = super()._servers(), self.folder / "rabbitmq"
        self.rabbitmq_metrics = free_ports().gateway
        where = f"prometheus.tcp.ip = {HOST}\nprometheus.tcp.port = {self.rabbitmq_metrics}\n"
        (folder / "conf.d" / "prometheus.conf").write_text(where)
        (folder / "enabled_plugins").write_text("[rabbitmq_management,rabbitmq_prometheus].\n")
        return programs


@contextmanager
def watched(folder):
    """Run the whole system, and Prometheus with the rules and intervals of `deploy/monitoring`; yield the Site."""
    with ExitStack() as stack:
        data = stack.enter_context(stack_folder())
        system = stack.enter_context(WatchedStack(data, free_ports(), environ=SETTINGS))
        ports = {name: system.ports.metrics_of(name) for name in SERVE_METRICS}
        ports["rabbitmq"] = ports["rabbitmq-alarms"] = system.rabbitmq_metrics
        primary, master = mongo_takes_writes(system), redis_takes_writes(system)
        ports["mongo"] = stack.enter_context(exporter("mongodb_rs_members_health", primary, member_state="PRIMARY"))
        ports["redis"] = stack.enter_context(exporter("redis_instance_info", master, role="master"))
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration(ports)))
        url = stack.enter_context(prometheus(folder, free_ports().gateway))
        mongo = stack.enter_context(pymongo.MongoClient(system.mongo_url("admin"), tz_aware=True))
        yield Site(system, url, mongo)


def configuration(ports):
    """Return the configuration of compose's Prometheus, for programs and servers on these local ports."""
    found = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    found["rule_files"] = [str(FOLDER / "rules/*.yml")]
    for job in found["scrape_configs"]:
        job.pop("dns_sd_configs", None)
        job["static_configs"] = [{"targets": [f"{HOST}:{ports[job['job_name']]}"]}]
    return found


@contextmanager
def prometheus(folder, port):
    """Run Prometheus by the configuration in `folder` while the block runs; yield its address."""
    words = ["--config.file", folder / "prometheus.yml", "--storage.tsdb.path", folder / "data"]
    command = ["prometheus", *map(str, words), f"--web.listen-address={HOST}:{port}", "--log.level=warn"]
    with (folder / "prometheus.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        url = f"http://{HOST}:{port}"
        try:
            wait_for(lambda: process.poll() is not None or answers(f"{url}/-/ready"), 30)
            assert process.poll() is None, (folder / "prometheus.log").read_text()
            yield url
        finally:
            process.terminate()


def answers(url):
    with suppress(requests.RequestException):
        return requests.get(url, timeout=5).ok
    return False


@contextmanager
def exporter(name, answers, **labels):
    """Serve a gauge that tells whether a server takes writes, as its exporter in compose does; yield the port."""
    registry = CollectorRegistry()
    gauge = Gauge(name, "Whether it takes writes.", labels, registry=registry)
    gauge.labels(**labels).set_function(lambda: float(answers()))
    server, thread = start_http_server(0, HOST, registry)
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def mongo_takes_writes(system):
    def answers():
        with (
            suppress(pymongo.errors.PyMongoError),
            pymongo.MongoClient(system.mongo_url("admin"), timeoutMS=3000) as client,
        ):
            return client.admin.command("hello")["isWritablePrimary"]
        return 0

    return answers


def redis_takes_writes(system):
    def answers():
        with suppress(redis.RedisError), redis.Redis.from_url(system.redis_url, socket_timeout=3) as client:
            return client.info("replication")["role"] == "master"
        return 0

    return answers


def rabbitmqctl(system, *words):
    """Run RabbitMQ's command line tool on the system's broker."""
    environment = {**os.environ, **system.programs["rabbitmq"].environment}
    command = Path(install.RABBITMQ_SERVER).with_name("rabbitmqctl")  # the one on the PATH changes to another user
    subprocess.run([command, *words], env=environment, check=True, capture_output=True, timeout=300)
