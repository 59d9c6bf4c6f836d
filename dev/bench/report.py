"""The results as docs/performance.json, and their presentation: docs/performance.md and the terminal."""

import json
import os
import platform
import subprocess
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dev.bench.figures import RATES, Figure, Figures, misses
from dev.bench.floors import FLOORS
from dev.bench.rows import Row, Suite

ROOT = Path(__file__).parents[2]
JSON, PAGE = "docs/performance.json", "docs/performance.md"
COLUMNS = {"per_second": "a second", "cpu_ms": "CPU-ms", "p50_ms": "p50 ms", "p95_ms": "p95 ms", "p99_ms": "p99 ms"}
INTRODUCTION = """\
# Performance

Measured by `make bench` on {machine}.
Load generator, programs, RabbitMQ, Redis and MongoDB shared that machine. Compare lines of one run, not figures of
different runs or machines.

Each line is the median of three runs (a few have one), taken in turn with the others; what others on the machine
disturbed was measured again, for up to a second a line. "a second" counts until the last reply, and includes
the load generator (0.04 CPU-ms a request) and whatever else the programs do meanwhile. "CPU-ms" is the processor time
of all our programs and of their servers for one operation, until everything that follows from it has been
done, less what they use at rest. p50, p95 and p99 are latencies. An aim that is missed is bold.

`make bench ROWS=reservation,list` measures single lines; the figures of this page, with the lowest and the highest of
the three runs, are in [performance.json](performance.json). [Scaling](scaling.md) says what follows for more processes
and nodes.
"""

Results = Mapping[str, Mapping[str, Any]]


def machine() -> str:
    """Return the machine on which the figures were measured."""
    model = next((line for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ":").partition(":")[2]
    return f"{os.cpu_count()} cores ({model.strip()}), {platform.system()}, Python {platform.python_version()}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def read_stored() -> tuple[dict[str, Any], str]:
    """Return the results in docs/performance.json, and the machine on which they were measured."""
    return parse((ROOT / JSON).read_text())


def save(results: Results, measured_on: str) -> None:
    """Write docs/performance.json."""
    rows = {
        name: {**row, "figures": {figure: asdict(value) for figure, value in row["figures"].items()}}
        for name, row in results.items()
    }
    rounded = _rounded({"machine": measured_on, "rows": rows})
    (ROOT / JSON).write_text(json.dumps(rounded, indent=1) + "\n")


def read_committed() -> tuple[dict[str, Any], str]:
    """Return the committed results, and their machine; none when there are none."""
    shown = subprocess.run(["git", "show", f"HEAD:{JSON}"], cwd=ROOT, capture_output=True, text=True, check=False)
    return parse(shown.stdout) if shown.returncode == 0 else ({}, "")


def parse(text: str) -> tuple[dict[str, Any], str]:
    """Return the results in the text of a docs/performance.json, and the machine on which they were measured."""
    stored = json.loads(text)
    rows = {
        name: {**row, "figures": {figure: Figure(**value) for figure, value in row["figures"].items()}}
        for name, row in stored["rows"].items()
    }
    return rows, stored["machine"]


def page(results: Results, measured_on: str, suites: Sequence[Suite]) -> str:
    """Return docs/performance.md."""
    parts = [INTRODUCTION.format(machine=measured_on)]
    for suite in suites:
        rows = [row for row in suite.rows if row.name in results]
        if rows:
            parts.append(f"\n## {suite.title}\n\n{wrapped(suite.introduction)}\n\n" + _table(rows, results))
    if missed := _missed([row for suite in suites for row in suite.rows], results):
        parts.append("\n## Aims that are missed, and why\n\n" + markdown(missed))
    used = [(name, row["programs"]) for name, row in results.items() if row["programs"]]
    if used:
        parts.append("\n## CPU-ms by program\n\n" + _programs(used))
    return "".join(parts)


def _table(rows: Sequence[Row], results: Results) -> str:
    lines = [["line", "what", *COLUMNS.values(), "more", "aim"]]
    for row in rows:
        figures: Figures = results[row.name]["figures"]
        cells = [_cell(name, figures.get(name), row) for name in COLUMNS]
        more = [f"{label(name)} {_cell(name, figure, row)}" for name, figure in figures.items() if name not in COLUMNS]
        lines.append([f"`{row.name}`", row.what, *cells, ", ".join(more), aims(row)])
    return markdown(lines)


def _missed(rows: Sequence[Row], results: Results) -> list[list[str]]:
    """Return the table of the aims that are missed, with the floors that are known; nothing when there are none."""
    floors = {(each.row, each.figure): each for each in FLOORS}
    lines = []
    for row in rows:
        figures: Figures = results[row.name]["figures"] if row.name in results else {}
        for name, aim in row.aims.items():
            if name in figures and misses(name, figures[name], aim):
                known = floors.get((row.name, name))
                reasons = (known.floor, known.why) if known else ("not known yet", "")
                lines.append([f"`{row.name}`", _aim(name, aim), amount(figures[name].median), *reasons])
    return [["line", "aim", "measured", "floor", "why"], *lines] if lines else []


def _programs(used: Sequence[tuple[str, Mapping[str, float]]]) -> str:
    names = list(dict.fromkeys(name for _, programs in used for name in programs))
    lines = [["line", *names]]
    lines += [[f"`{row}`", *(amount(programs.get(name, 0.0)) for name in names)] for row, programs in used]
    return markdown(lines)


def aims(row: Row) -> str:
    """Return the aim of a row, such as "a second ≥ 4 000"."""
    return ", ".join(_aim(name, aim) for name, aim in row.aims.items())


def _aim(name: str, aim: float) -> str:
    return f"{label(name)} {'≥' if name in RATES else '≤'} {amount(aim)}"


def line(row: Row, figures: Figures) -> str:
    """Return a row for the terminal."""
    shown = [f"{label(name)} {_cell(name, figure, row)}" for name, figure in figures.items()]
    return f"{row.name}: {', '.join(shown)}" + (f"  (aim: {aims(row)})" if row.aims else "")


def wrapped(text: str) -> str:
    """Return a paragraph wrapped like other documents."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def label(figure: str) -> str:
    """Return the label of a figure: that of others_p99_ms is "others p99 ms"."""
    return COLUMNS.get(figure, figure.replace("_", " "))


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Return a table whose first line is its heading."""
    rows = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in rows)


def _cell(name: str, figure: Figure | None, row: Row) -> str:
    if figure is None:
        return ""
    is_missed = name in row.aims and misses(name, figure, row.aims[name])
    return f"**{amount(figure.median)}**" if is_missed else amount(figure.median)


def amount(value: float) -> str:
    """Return a figure as it is shown: with significant digits only."""
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {name: _rounded(each) for name, each in value.items()}
    return value
