"""Run benchmarks on private servers of their own: `python -m dev.bench [ROW[,ROW…]]`.

The results of all rows are written to docs/performance.json and docs/performance.md. Named rows are only measured, but
for those that a run of all leaves out (`losses`, `tracing`), which are added. The name `pages` measures nothing: it
rewrites the pages from docs/performance.json.
"""

import sys
import time
from typing import Any

from dev.bench import events, figures, growth, library, report, rest, rush, scaling, site, sizes, tracing
from dev.bench.quiet import Patience
from dev.bench.rows import ROUNDS, Row, Suite, UnknownRow, chosen, in_turn
from libs.processes import allow_open_files

MOST_FILES = 4 * sizes.RUSH
"""How many files may be open at once: a connection for each buyer of a rush, those of others, and some more."""
SUITES = [site.SUITE, rush.SUITE, rest.SUITE, growth.SUITE, library.SUITE, events.SUITE, tracing.SUITE]


def main() -> None:
    """Measure the rows on the command line; exit with a message and code 1 when a name is unknown, or a row fails."""
    names = [name.strip() for words in sys.argv[1:] for name in words.split(",") if name.strip()]
    if names == ["pages"]:
        write_pages()
        return
    try:
        wanted = chosen([row for suite in SUITES for row in suite.rows], names)
    except UnknownRow as problem:
        sys.exit(str(problem))
    allow_open_files(MOST_FILES)
    results: dict[str, dict[str, Any]] = {}
    for suite in SUITES:
        rows = [row for row in suite.rows if row in wanted]
        if rows:
            results |= measure(suite, rows)
    before, measured_on = report.read_committed()
    compare(before, measured_on, results)
    failed = [row.name for row in wanted if row.name not in results]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
    if sizes.IS_QUICK:
        return
    if all(row.named_only for row in wanted):
        publish({**before, **results}, {})
    elif not names:
        publish(results, before)


def publish(results: report.Results, before: report.Results) -> None:
    """Write the results and the pages made from them; without new counts of lost events, the last ones are kept."""
    known = [row.name for suite in SUITES for row in suite.rows if row.named_only]
    kept = {name: before[name] for name in known if name in before}
    report.save({**kept, **results}, report.machine())
    write_pages()


def write_pages() -> None:
    """Write docs/performance.md and docs/scaling.md from docs/performance.json, whose figures are rounded."""
    results, machine = report.read_stored()
    (report.ROOT / report.PAGE).write_text(report.page(results, machine, SUITES))
    (report.ROOT / scaling.PAGE).write_text(scaling.page(results))
    say(f"written: {report.PAGE}, {scaling.PAGE}, from {report.JSON}")


def measure(suite: Suite, rows: list[Row]) -> dict[str, dict[str, Any]]:
    """Measure rows of a suite; print and return the results by their names."""
    began, patience = time.monotonic(), Patience(sizes.PATIENCE_SECONDS * len(rows))
    results = {name: figures.summarize(runs) for name, runs in in_turn(suite, rows, step, patience).items()}
    for row in rows:
        if row.name in results:
            say(report.line(row, results[row.name]["figures"]))
            programs = results[row.name]["programs"].items()
            say("    " + ", ".join(f"{name} {spent:.2f}" for name, spent in programs if spent >= 0.005))
    step(f"{suite.title}: {time.monotonic() - began:.0f} s")
    return results


def compare(before: report.Results, measured_on: str, results: report.Results) -> None:
    """Print the rows that became slower than in the committed results."""
    if not before:
        return
    if measured_on != report.machine():
        say(f"The committed figures are of another machine: {measured_on}")
    slower = figures.became_slower(
        {name: row["figures"] for name, row in before.items()}, {name: row["figures"] for name, row in results.items()}
    )
    found = [f"  {row}: {report.label(name)} {times:.2f} times worse" for row, name, times in slower]
    say("Slower than the committed figures:" if found else f"Nothing is slower beyond the noise of {ROUNDS} runs.")
    for each in found:
        say(each)


def step(text: str) -> None:
    """Show the current row, and those that failed."""
    print(f"  {text}", file=sys.stderr, flush=True)


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


if __name__ == "__main__":
    main()
