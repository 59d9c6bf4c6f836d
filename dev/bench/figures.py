"""Medians of several runs, the noise between them, and regressions since other runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from dev.bench.rows import Measured

NOTEWORTHY = 1.05
"""By how much a median has to be worse, beyond the noise, to be named."""
RATES = ("per_second", "published_per_second")
"""The figures for which more is better; for all others less is."""


@dataclass(frozen=True)
class Figure:
    """The median of several runs, the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Figure":
        """Return the figure of the values of several runs, of one at least."""
        return cls(median(values), min(values), max(values))


Figures = Mapping[str, Figure]


def summarize(runs: Sequence[Measured]) -> dict[str, Any]:
    """Return {"figures": {name: Figure}, "programs": {name: median CPU-ms}} of the runs of one row."""
    programs = sorted({name for run in runs for name in run.programs})
    return {
        "figures": {name: Figure.of([run.figures[name] for run in runs]) for name in runs[0].figures},
        "programs": {name: median(run.programs.get(name, 0.0) for run in runs) for name in programs},
    }


def misses(name: str, figure: Figure, aim: float) -> bool:
    """Return whether the median is on the wrong side of its aim."""
    return figure.median < aim if name in RATES else figure.median > aim


def became_slower(before: Mapping[str, Figures], after: Mapping[str, Figures]) -> Iterator[tuple[str, str, float]]:
    """Yield (row, figure, how many times worse) for figures that became worse by more than the noise between the runs.

    That is: the best run now is worse than the worst one before, and the medians differ by NOTEWORTHY.
    """
    for row, figures in after.items():
        for name, now in figures.items():
            then = before.get(row, {}).get(name)
            if then is not None and _is_beyond_noise(name, then, now) and (times := _times_worse(name, then, now)):
                yield row, name, times


def _is_beyond_noise(name: str, then: Figure, now: Figure) -> bool:
    return now.high < then.low if name in RATES else now.low > then.high


def _times_worse(name: str, then: Figure, now: Figure) -> float:
    """Return how many times worse the median is, 0 when that is less than NOTEWORTHY or unknown."""
    lower, higher = (now.median, then.median) if name in RATES else (then.median, now.median)
    times = higher / lower if lower > 0 else 0.0
    return times if times >= NOTEWORTHY else 0.0
