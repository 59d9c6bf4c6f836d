"""The release before and the working tree, in turn and side by side, on the same databases, queues and jobs."""

import os
import subprocess
import sys
import tarfile
from collections import Counter
from contextlib import ExitStack, contextmanager
from functools import partial
from io import BytesIO

import pymongo
import pytest
import requests

from conftest import SETTINGS
from dev.stack import Stack, free_ports, supervisor
from dev.stack.programs import BROKER_SETUP, commands, environment, no_programs
from dev.testing import ROOT, stack_folder, wait_for
from libs.contracts.parts import SERVICES
from tests.cluster.buyers import buying
from tests.e2e import invariants
from tests.e2e.people import Operator, Person, Sessions

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

FIRST = "6151b39"
"""What stands for the first release for which this is promised, until there is one: those after 0.2.0."""
EARLIER = ("v0.1.0", "v0.2.0")
BEHIND = (*SERVICES, "scheduler", "worker")
"""What is behind the gateway, which may call no service that is older than itself."""
BUYERS = 2
AT_ONCE = 3  # purchases, so that each of two instances gets some of their calls, events and jobs


def git(*words):
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=True).stdout


def previous_release():
    """Return the newest tag of a release that this one follows, or FIRST; skip where git's history lacks it."""
    try:
        tags = git("tag", "--list", "v*", "--sort=-v:refname", "--merged").decode().split()
        name = next((tag for tag in tags if tag not in EARLIER), FIRST)
        return git("rev-parse", "--verify", f"{name}^{{commit}}").decode().strip()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("git has no release before this one here: it needs the history and the tags (fetch-depth: 0)")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The files of the release before, in a folder."""
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(fileobj=BytesIO(git("archive", previous_release()))) as archive:
        archive.extractall(folder, filter="data")
    return folder


class Earlier:
    """Programs of the release before, with the settings that a stack gives its own; the gateway is at `url`."""

    def __init__(self, files, stack, ports):
        self.files, self.stack, self.ports = files, stack, ports
        self.url = f"http://127.0.0.1:{ports.gateway}"
        self.commands = {name: self.as_then(command) for name, command in commands(stack).items()}

    def as_then(self, command):
        """Return the command with which that release ran a service, which may have been nameko's own."""
        if "libs.service" not in command or (self.files / "libs" / "service.py").exists():
            return command
        return [os.path.join(sys.prefix, "bin", "nameko"), "run", "--config", *command[3:]]

    def settings(self, name):
        settings = {**supervisor.environment(self.stack.folder), **environment(name, self.stack)}
        if "METRICS_PORT" in settings:
            settings["METRICS_PORT"] = str(self.ports.metrics_of(name))
        if name == "gateway":
            settings["GATEWAY_PORT"] = str(self.ports.gateway)
        return settings

    def migrate(self):
        command, settings = [sys.executable, "-m", "ops.migrate"], self.settings("migrate")
        subprocess.run(command, cwd=self.files, env=settings, check=True, capture_output=True)

    @contextmanager
    def running(self, *names):
        """Run programs, ready, while the block runs."""
        with ExitStack() as stack:
            for name in names:
                log = stack.enter_context((self.stack.folder / "logs" / f"earlier-{name}.log").open("wb"))
                process = subprocess.Popen(
                    self.commands[name], cwd=self.files, env=self.settings(name), stdout=log, stderr=log
                )
                stack.callback(process.wait, 60)
                stack.callback(process.terminate)
            for name in names:
                wait_for(partial(self.is_ready, name), 120, f"the earlier {name}")
            yield

    def is_ready(self, name):
        ports = {"gateway": self.ports.gateway, "fake-stripe": self.stack.ports.stripe}
        port = ports.get(name) or self.ports.metrics_of(name)
        try:
            answer = requests.get(f"http://127.0.0.1:{port}/readyz", timeout=10)
            return answer.ok or name == "fake-stripe"
        except requests.RequestException:
            return False


def trade(system, url, orders):
    """Let people buy, cancel and let the time to pay pass at the gateway at `url`; add what is to become of `orders`.

    One order is left as it is, for the next version.
    """
    sessions, operator = Sessions(system), Operator(system)
    ana, bo = (sessions.begin(Person(url, name)) for name in ("ana", "bo"))
    paid, cancelled, late, kept = (bo.reserve(ana.list_ticket()) for _ in range(4))
    assert bo.pay(paid).status_code == 201
    assert bo.delete(f"/api/orders/{cancelled}").status_code == 204
    operator.let_expire(late)
    operator.client.close()
    bo.wait_for_order(late, "cancelled", 60)
    orders |= {paid: "complete", cancelled: "cancelled", late: "cancelled", kept: "created"}
    return bo, kept


def finish(left, url, orders):
    """Let people pay elsewhere for what they had reserved."""
    for person, order_id in left:
        person.url = url
        assert person.pay(order_id).status_code == 201
        orders[order_id] = "complete"


def go_on(system, left, url, orders):
    """Let people at the gateway at `url` pay for what is left, and trade on; return what is left then."""
    finish(left, url, orders)
    return [trade(system, url, orders) for _ in range(AT_ONCE)]


def stored(system, orders):
    with pymongo.MongoClient(system.mongo_url("orders")) as mongo:
        found = mongo.orders.orders.find({"_id": {"$in": [*orders]}}, {"status": 1})
        return {each["_id"]: each["status"] for each in found}


def test_an_upgrade_and_a_rollback_lose_nothing_while_both_versions_run(files):
    orders, ports, others = {}, free_ports(), free_ports()
    with stack_folder() as folder:
        with Stack(folder, ports, no_programs, environ=SETTINGS) as servers:
            before = Earlier(files, servers, others)
            before.migrate()
            with before.running("fake-stripe", BROKER_SETUP), before.running(*BEHIND, "gateway"):
                left = [trade(servers, before.url, orders)]

        with Stack(folder, ports, environ=SETTINGS) as system:
            before = Earlier(files, system, others)
            with before.running("gateway"):
                with before.running(*BEHIND):  # first all but the gateway
                    left = go_on(system, left, before.url, orders)
                for url in (system.gateway_url, before.url):
                    left = go_on(system, left, url, orders)
            left = go_on(system, left, system.gateway_url, orders)

            system.stop_program(BROKER_SETUP)
            with before.running(BROKER_SETUP, "gateway"):  # back again, the gateway first, with its rights
                system.stop_program("gateway")
                left = go_on(system, left, before.url, orders)
                with before.running(*BEHIND):
                    left = go_on(system, left, before.url, orders)
                    system.stop_program(*BEHIND)
                    left = go_on(system, left, before.url, orders)
                    for name in (BROKER_SETUP, *BEHIND):
                        system.start_program(name)
                    for name in (BROKER_SETUP, *BEHIND):
                        system.wait_ready(name)
            system.start_program("gateway")  # and upgraded at once
            system.wait_ready("gateway")
            go_on(system, left, system.gateway_url, orders)

            invariants.check(system, 120)
            assert stored(system, orders) == orders


def bought_on(buyers):
    """Wait until each of two people has bought a ticket from its beginning."""
    enough = len(buyers.notes.bought) + 2 * BUYERS  # of which some had begun before
    wait_for(lambda: len(buyers.notes.bought) >= enough or buyers.problems, 120, "tickets to be bought")


def test_people_buy_while_each_program_is_replaced_by_the_other_version(files):
    with stack_folder() as folder, Stack(folder, free_ports(), environ=SETTINGS) as system:
        before = Earlier(files, system, free_ports())
        with buying(system, Sessions(system), BUYERS) as buyers, ExitStack() as whatever_happens:
            running = {name: whatever_happens.enter_context(ExitStack()) for name in (*BEHIND, "gateway")}
            for name in ("gateway", *BEHIND):  # a rollback: each begins beside the other, which is stopped then
                running[name].enter_context(before.running(name))
                if name == "gateway":
                    buyers.url = before.url
                system.stop_program(name)
                bought_on(buyers)
            for name in (*BEHIND, "gateway"):  # and an upgrade
                system.start_program(name)
                system.wait_ready(name)
                if name == "gateway":
                    buyers.url = system.gateway_url
                running[name].close()
                bought_on(buyers)

        repeated = Counter(status for _, _, status in buyers.notes.requests if not 200 <= status < 300)
        print(f"{len(buyers.notes.bought)} tickets bought; what was asked again had been answered {dict(repeated)}")
        assert buyers.problems == []
        invariants.check(system, 120)
        buyers.check_promises(system)
