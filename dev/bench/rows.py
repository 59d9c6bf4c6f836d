"""The measurements: rows with names, their suites, and the rows that the user selects."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dev.bench import sizes
from dev.bench.quiet import Patience

ROUNDS = 1 if sizes.IS_QUICK else 3
LONGEST_REASON = 500


class UnknownRow(Exception):
    """No row has such a name; the message lists all names."""


@dataclass(frozen=True)
class Measured:
    """The figures of one run, such as {"per_second": 250.0, "cpu_ms": 7.1}, and the CPU-milliseconds by program."""

    figures: Mapping[str, float]
    programs: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One line of the report: its name, its text, how it is measured once, and the aims of its figures.

    `rounds`: how often it is measured, in turn with the other rows of its suite. A row that is `named_only` is left out
    unless it is asked for by name.
    """

    name: str
    what: str
    measure: Callable[[Any], Measured]
    aims: Mapping[str, float] = field(default_factory=dict)
    rounds: int = ROUNDS
    named_only: bool = False


@dataclass(frozen=True)
class Suite:
    """Rows that are measured on the same servers; `opened(rows)` starts these, and the rows get what it yields.

    `title` and `introduction` stand above their table in the report.
    """

    title: str
    introduction: str
    rows: Sequence[Row]
    opened: Callable[[Sequence[Row]], AbstractContextManager[Any]]


def chosen(rows: Iterable[Row], names: Sequence[str]) -> list[Row]:
    """Return the rows that these names ask for: without any, all but those that are `named_only`.

    A name stands for the row of that name, and for those whose names begin with it and a hyphen: `list` for `list-20`
    and `list-50`. Raises UnknownRow.
    """
    rows = list(rows)
    for name in names:
        if not any(_is_meant(row, name) for row in rows):
            known = ", ".join(sorted(row.name for row in rows))
            raise UnknownRow(f"There is no row {name!r}. There are: {known}.")
    if not names:
        return [row for row in rows if not row.named_only]
    return [row for row in rows if any(_is_meant(row, name) for name in names)]


def _is_meant(row: Row, name: str) -> bool:
    return row.name == name or row.name.startswith(f"{name}-")


def in_turn(
    suite: Suite, rows: Sequence[Row], report: Callable[[str], None], patience: Patience
) -> dict[str, list[Measured]]:
    """Measure these rows of the suite, A B C A B C …; return the results of each by its name.

    A row that fails is reported and has no results, and the others go on. What others disturb is measured again while
    `patience` lasts.
    """
    results: dict[str, list[Measured]] = {row.name: [] for row in rows}
    with suite.opened(rows) as subject:
        for number in range(max(row.rounds for row in rows)):
            for row in rows:
                if number >= row.rounds or row.name not in results:
                    continue
                report(f"{row.name} {number + 1}/{row.rounds}")
                try:
                    results[row.name].append(patience.measured(partial(row.measure, subject)))
                except Exception as error:  # noqa: BLE001 - whatever it is, it is the row's
                    del results[row.name]
                    report(f"{row.name} FAILED: {type(error).__name__}: {str(error)[:LONGEST_REASON]}")
    return results
