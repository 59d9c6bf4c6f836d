"""Run benchmarks on private servers of their own: `python -m dev.bench [ROW[,ROW…]]`.

All rows, or those named; the results of all are written to docs/performance.json and docs/performance.md.
"""

import sys
from typing import Any

from dev.bench import figures, library, report, site, sizes
from dev.bench.rows import ROUNDS, Row, Suite, UnknownRow, chosen, in_turn

SUITES = [site.SUITE, library.SUITE]


def main() -> None:
    """Measure what the command line names; exit with a message and code 1 when it names no row."""
    names = [name.strip() for words in sys.argv[1:] for name in words.split(",") if name.strip()]
    try:
        wanted = chosen([row for suite in SUITES for row in suite.rows], names)
    except UnknownRow as problem:
        sys.exit(str(problem))
    results: dict[str, dict[str, Any]] = {}
    for suite in SUITES:
        rows = [row for row in suite.rows if row in wanted]
        if rows:
            results |= measured(suite, rows)
    before, measured_on = report.committed()
    _compare(before, measured_on, results)
    if not names and not sizes.IS_QUICK:
        report.save(results, report.machine())
        report.PAGE.write_text(report.page(results, SUITES, report.machine()))
        _say(f"written: {report.JSON} and {report.PAGE.relative_to(report.ROOT)}")


def measured(suite: Suite, rows: list[Row]) -> dict[str, dict[str, Any]]:
    """Measure rows of a suite; print and return the results by their names."""
    runs = in_turn(suite, rows, _show)
    results = {row.name: figures.summed_up(runs[row.name]) for row in rows}
    for row in rows:
        _say(report.line(row, results[row.name]["figures"]))
        programs = results[row.name]["programs"]
        if programs:
            _say("    " + ", ".join(f"{name} {spent:.2f}" for name, spent in programs.items() if spent >= 0.005))
    return results


def _compare(before: report.Results, measured_on: str, results: report.Results) -> None:
    """Print what became slower than the figures that were committed last."""
    if not before:
        return
    if measured_on != report.machine():
        _say(f"The committed figures are of another machine: {measured_on}")
    slower = figures.became_slower(
        {name: row["figures"] for name, row in before.items()}, {name: row["figures"] for name, row in results.items()}
    )
    found = [f"  {row}: {report.label(name)} {times:.2f} times worse" for row, name, times in slower]
    _say("Slower than the committed figures:" if found else f"Nothing is slower beyond the noise of {ROUNDS} runs.")
    for each in found:
        _say(each)


def _show(step: str) -> None:
    """Show on a terminal what is being measured."""
    if sys.stderr.isatty():
        print(f"\r{step:<40}\r", end="", file=sys.stderr, flush=True)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
