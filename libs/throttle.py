"""Throttling of sign-ins, requests to Stripe and the like, with counters in MongoDB that all instances share.

A counter keeps the number of attempts within an hour, and until when no other is accepted: at most until the hour is
over. The hour begins with the first attempt, no later one extends it, and at its end the counter is deleted.
An attempt is counted before it is made, so that concurrent ones cannot all count as the first, and uncounted if it did
not fail. Attempts that many people may rightly make at once from one address count only once they fail (`failures`).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from libs.clock import utc_now
from libs.contracts.attempts import Counter
from libs.contracts.errors import TooManyAttempts
from libs.errors import is_unavailable

HOUR = timedelta(hours=1)
COUNT_RETRIES = 20
"""How often to count again when others insert the counter of an address at the same moment."""
FORGET_INDEX = IndexModel([("forget_at", ASCENDING)], expireAfterSeconds=0)
"""The TTL index of the collection of counters."""
NO_WAIT = datetime(1970, 1, 1, tzinfo=UTC)
"""`until` of a counter that delays nobody: in the past by any instance's clock."""


class MongoThrottle:
    """Counters as documents {_id: key, tries, until, forget_at}; the hour ends at `forget_at`."""

    def __init__(self, collection: Collection[dict[str, Any]], now: Callable[[], datetime] = utc_now) -> None:
        self._collection = collection
        self._now = now

    def count(self, counters: Sequence[Counter]) -> None:
        """Count an attempt; raise TooManyAttempts without counting it if it comes too soon."""
        self._check(counters)
        if wait := max(map(self._count, counters), default=0):
            raise _too_many(wait)

    def undo(self, counters: Sequence[Counter]) -> None:
        """Uncount an attempt."""
        where = {"_id": {"$in": [counter.key for counter in counters]}, "tries": {"$gt": 0}}
        self._collection.update_many(where, {"$inc": {"tries": -1}, "$set": {"until": NO_WAIT}})

    @contextmanager
    def attempt(self, counters: Sequence[Counter], failure: type[Exception]) -> Iterator[None]:
        """Run the block as one attempt, which stays counted only if it raises `failure`; raise TooManyAttempts."""
        self.count(counters)
        try:
            yield
        except failure:
            raise
        except BaseException:
            self.undo(counters)
            raise
        self.undo(counters)

    @contextmanager
    def counted(self, counters: Sequence[Counter]) -> Iterator[None]:
        """Run the block as one attempt, which stays counted unless something is unavailable; raise TooManyAttempts."""
        self.count(counters)
        try:
            yield
        except Exception as error:
            if is_unavailable(error):
                self.undo(counters)
            raise

    @contextmanager
    def failures(self, counters: Sequence[Counter], failure: type[Exception]) -> Iterator[None]:
        """Run the block, and count it afterwards if it raises `failure`; attempts in progress never count.

        Raises TooManyAttempts if too many have failed: before the block, or instead of its failure, which is then not
        disclosed.
        """
        self._check(counters)
        try:
            yield
        except failure:
            self.count(counters)
            raise

    def _check(self, counters: Sequence[Counter]) -> None:
        if wait := self._longest_wait(counters, self._now()):
            raise _too_many(wait)

    def _count(self, counter: Counter) -> float:
        """Count an attempt and return 0, or return how many seconds to wait."""
        for _ in range(COUNT_RETRIES):
            now = self._now()
            try:
                where = {"_id": counter.key, "until": {"$lte": now}}
                self._collection.update_one(where, _increment(counter, now), upsert=True)
                return 0
            except DuplicateKeyError:  # another attempt closed the counter just now, or merely was the first
                if wait := self._longest_wait([counter], self._now()):
                    return wait
        return 1

    def _longest_wait(self, counters: Sequence[Counter], now: datetime) -> float:
        where = {"_id": {"$in": [counter.key for counter in counters]}, "until": {"$gt": now}}
        return max(((found["until"] - now).total_seconds() for found in self._collection.find(where)), default=0)


def _too_many(wait_seconds: float) -> TooManyAttempts:
    retry_after = max(1, math.ceil(wait_seconds))
    return TooManyAttempts("Too many tries. Wait a little before you try again.", retry_after=retry_after)


def _increment(counter: Counter, now: datetime) -> list[dict[str, Any]]:
    """Return the update that counts an attempt and, from the last free one on, sets until when to wait."""
    limit = counter.limit
    until: Any = "$forget_at"
    if limit.longest_wait_seconds is not None:
        exponent = {"$max": [0, {"$min": [{"$subtract": ["$tries", limit.free]}, 20]}]}
        seconds = {"$min": [limit.longest_wait_seconds, {"$pow": [2, exponent]}]}
        until = {"$min": ["$forget_at", {"$add": [now, {"$multiply": [1000, seconds]}]}]}
    is_over = {"$lte": [{"$ifNull": ["$forget_at", NO_WAIT]}, now]}
    return [
        {
            "$set": {
                "tries": {"$cond": [is_over, 1, {"$add": ["$tries", 1]}]},
                "forget_at": {"$cond": [is_over, now + HOUR, "$forget_at"]},
            }
        },
        {"$set": {"until": {"$cond": [{"$lt": ["$tries", limit.free]}, NO_WAIT, until]}}},
    ]
