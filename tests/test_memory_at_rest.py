"""Modules that the running programs must not keep in memory."""

from pathlib import Path

import pytest


def megabytes(pid, kind):
    """Return the memory of a process of one of the kinds of /proc/PID/smaps_rollup (proc(5))."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:")) / 1000


def test_supervisord_loads_nothing_of_what_it_supervises(system):
    assert megabytes(int(system.supervisor.pidfile.read_text()), "Pss") < 25


@pytest.mark.parametrize("number", [0, 1])
def test_workers_of_the_gateway_share_their_libraries(system, number):
    master = system.pid("gateway")
    workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()

    assert megabytes(workers[number], "Shared_Dirty") > 8
