"""How much processor time groups of processes have used, read from /proc."""

import os
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def milliseconds(*groups: int) -> float:
    """Return the CPU-milliseconds, user and system, that the live processes of these process groups have used."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        if int(fields[2]) in groups:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_SECOND * 1000


def group_of(pid: int) -> int:
    """Return the process group of a process."""
    return os.getpgid(pid)


def of_process(pid: int) -> float:
    """Return the CPU-milliseconds that one process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND * 1000
