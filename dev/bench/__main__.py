"""Run every benchmark on private servers of its own: `python -m dev.bench [library | site]`."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dev.bench import library, report, site
from dev.bench.report import Row
from dev.stack import Stack, free_ports
from dev.stack.programs import all_programs, no_programs

SUITES = {"library": (library.measure, no_programs), "site": (site.measure, all_programs)}


def main() -> None:
    """Run the suites named on the command line, or all; only the results of all are written to docs/performance.md."""
    names = sys.argv[1:] or list(SUITES)
    rows = []
    for row in measured(names):
        print(" | ".join(row.cells()), flush=True)
        rows.append(row)
    if len(names) == len(SUITES):
        print(report.write(rows))


def measured(names: list[str]) -> Iterator[Row]:
    """Run each suite on a stack of its own; yield the rows of its results."""
    for name in names:
        measure, programs = SUITES[name]
        environ = {"LOG_LEVEL": "WARNING", **site.LIMITS}
        with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), free_ports(), programs, environ) as stack:
            yield from measure(stack)


if __name__ == "__main__":
    main()
