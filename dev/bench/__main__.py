"""Run every benchmark on private servers of its own: `python -m dev.bench [library | site]`."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dev.bench import library, report, site
from dev.bench.report import Row
from dev.stack import Stack, free_ports
from dev.stack.programs import everything, nothing

PARTS = {"library": (library.measure, nothing), "site": (site.measure, everything)}


def main() -> None:
    """Measure what is asked for, or everything; only everything is written to docs/performance.md."""
    asked = sys.argv[1:] or list(PARTS)
    rows = []
    for row in measured(asked):
        print(" | ".join(row.cells()), flush=True)
        rows.append(row)
    if len(asked) == len(PARTS):
        print(report.write(rows))


def measured(asked: list[str]) -> Iterator[Row]:
    """Yield the rows of the parts that are asked for, each on a stack of its own."""
    for name in asked:
        measure, programs = PARTS[name]
        environ = {"LOG_LEVEL": "WARNING"}
        with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), free_ports(), programs, environ) as stack:
            yield from measure(stack)


if __name__ == "__main__":
    main()
