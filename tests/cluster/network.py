"""A network of machines: each in a network namespace of its own, with a cable that can be pulled out.

It is made within the namespace of this process, which must be its own: `make test-cluster` runs the tests in one, where
they need no rights on the machine, and which leaves nothing behind.
"""

import subprocess
import sys

from dev.stack.cluster import DISTANCE
from dev.stack.ports import Node, Ports
from libs.processes import die_with_parent

SUBNET = "10.99.0"
OURS = 254


class Network:
    """Machines 1 to `count` at 10.99.0.1 and so on, and this one at 10.99.0.254."""

    def __init__(self, count):
        for command in ("link set lo up", "link add lan type bridge", f"addr add {SUBNET}.{OURS}/24 dev lan"):
            ip(*command.split())
        ip("link", "set", "lan", "up")
        self._keepers = [keeper() for _ in range(count)]
        self.nodes = [self._connect(number, process.pid) for number, process in enumerate(self._keepers, 1)]

    def _connect(self, number, pid):
        inside = ("nsenter", f"--net=/proc/{pid}/ns/net", "--")
        ip("link", "add", cable(number), "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        ip("link", "set", cable(number), "master", "lan", "up")
        for command in ("link set lo up", f"addr add {SUBNET}.{number}/24 dev eth0", "link set eth0 up"):
            ip(*command.split(), inside=inside)
        return Node(Ports().moved(DISTANCE * number), f"{SUBNET}.{number}", inside)

    def cut_off(self, number):
        """Pull out the cable of a machine."""
        ip("link", "set", cable(number), "down")

    def connect(self, number):
        """Put it in again."""
        ip("link", "set", cable(number), "up")

    def close(self):
        for process in self._keepers:
            process.kill()
            process.communicate(timeout=10)


def keeper():
    """Start a process that keeps a network namespace alive; return it once it is in there."""
    command = ["unshare", "--net", sys.executable, "-c", "print(flush=True); import time; time.sleep(10**9)"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=die_with_parent)
    assert process.stdout.readline(), "a network namespace needs `make test-cluster`, or root"
    return process


def cable(number):
    return f"cable{number}"


def ip(*words, inside=()):
    subprocess.run([*inside, "ip", *words], check=True, capture_output=True, timeout=10)
