"""How often an attempt may be made; `libs.throttle` counts them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """How many attempts of an hour are free.

    After the last of them one waits 1 second, then 2, 4, … up to the longest wait, or for the end of the hour if there
    is none; the hour begins with the first attempt, and after its end all are free again.
    """

    free: int
    longest_wait_seconds: int | None = None


@dataclass(frozen=True)
class Counter:
    """What is counted, under a key that reveals neither emails nor addresses, and its limit."""

    key: str
    limit: Limit
