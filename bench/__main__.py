"""Run every benchmark on private servers of its own: `python -m bench` (or `python -m bench library`, `site`)."""

import sys
import tempfile
from pathlib import Path

from bench import library, report, site
from libs.stack import Stack, free_ports
from libs.stack.programs import everything, nothing


def main() -> None:
    """Measure what is asked for, or everything; only everything is written to docs/performance.md."""
    asked = sys.argv[1:] or ["library", "site"]
    rows = []
    if "library" in asked:
        with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), free_ports(), nothing, say=print) as stack:
            rows += library.measure(stack)
    if "site" in asked:
        environ = {"LOG_LEVEL": "WARNING"}
        with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), free_ports(), everything, environ) as stack:
            rows += site.measure(stack)
    if len(asked) == 2:
        print(report.write(rows))
    else:
        print("\n".join(" | ".join(row.cells()) for row in rows))


if __name__ == "__main__":
    main()
