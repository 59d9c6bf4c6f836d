"""The rows of the report, as a table on the terminal and in docs/performance.md."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"

INTRODUCTION = """\
# Performance

Measured by `make bench` on {machine}.

Load generator, services, gateway, RabbitMQ and MongoDB shared that one machine, so compare the columns of one run, not
figures of different runs or machines. CPU-ms are the CPU time of caller, service and broker together.

"""


@dataclass(frozen=True)
class Row:
    """One figure: ours, that of stock nameko where there is one, and what we aim for."""

    what: str
    unit: str
    ours: float
    stock: float | None = None
    aim: str = ""

    def cells(self) -> list[str]:
        """Return the cells of the row; the ratio is how many times better ours is."""
        if self.stock is None:
            return [self.what, self.unit, _figure(self.ours), "", "", self.aim]
        better = self.ours / self.stock if "second" in self.unit else self.stock / self.ours
        return [self.what, self.unit, _figure(self.ours), _figure(self.stock), f"{better:.1f} ×", self.aim]


def write(rows: list[Row]) -> str:
    """Write docs/performance.md; return its table."""
    heading = ["what", "unit", "ours", "stock nameko", "better", "aim"]
    lines = [heading, ["---"] * len(heading), *(row.cells() for row in rows)]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    PAGE.write_text(INTRODUCTION.format(machine=machine) + table + "\n")
    return table


def _figure(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ") if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"
