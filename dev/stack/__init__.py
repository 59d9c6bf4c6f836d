"""The local stack: private servers and every program of the system on one machine, for `make run` and for tests."""

from dev.stack.ports import Ports, free_ports
from dev.stack.stack import Stack, StackError

__all__ = ["Ports", "Stack", "StackError", "free_ports"]
