"""Counting tries, in Redis, or in MongoDB while Redis is away; with neither there are no tries at all.

Each counter keeps the number of tries and until when no other is accepted; it is forgotten after an hour of quiet. A
try is counted before it is made, so that many at once are not all the first, and taken back when it was right.
"""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError
from redis.backoff import NoBackoff
from redis.retry import Retry

from auth.domain import Counter, TooManyAttempts
from libs.clock import utc_now

REMEMBERED_SECONDS = 3600
FIRST_TRIES = 20
"""How often to count again when others count the first tries of an address at the same moment."""
NO_WAIT = datetime(1970, 1, 1, tzinfo=UTC)
"""Until when one waits who need not: past by any clock, so that nobody else at the same moment waits either."""
REDIS_SECONDS = 0.5
REDIS_PAUSE_SECONDS = 5.0
"""How long Redis is left alone after a failure, so that not every try waits for it."""

log = logging.getLogger(__name__)

COUNT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local wait = 0
for _, key in ipairs(KEYS) do
  wait = math.max(wait, (tonumber(redis.call('HGET', key, 'until')) or 0) - now)
end
if wait > 0 then return wait end
for i, key in ipairs(KEYS) do
  local free, longest = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local tries = redis.call('HINCRBY', key, 'tries', 1)
  if tries >= free then
    redis.call('HSET', key, 'until', now + 1000 * math.min(longest, 2 ^ math.min(tries - free, 20)))
  end
  redis.call('EXPIRE', key, ARGV[1])
end
return 0
"""
TAKE_BACK = """
for _, key in ipairs(KEYS) do
  if redis.call('HINCRBY', key, 'tries', -1) <= 0 then redis.call('DEL', key) else redis.call('HDEL', key, 'until') end
end
"""


class InRedis:
    """Counters as hashes {tries, until} under `auth:tries:<key>`, changed by scripts that Redis runs as one step."""

    def __init__(self, url: str) -> None:
        client = redis.Redis.from_url(
            url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS, retry=Retry(NoBackoff(), 0)
        )
        self._count, self._take_back = client.register_script(COUNT), client.register_script(TAKE_BACK)

    def count(self, counters: Sequence[Counter]) -> float:
        """Count a try; return 0, or for how many seconds there may be none, in which case nothing is counted."""
        limits = [number for counter in counters for number in (counter.limit.free, counter.limit.longest)]
        waits: Any = self._count(keys=_names(counters), args=[REMEMBERED_SECONDS, *limits])
        return float(waits) / 1000

    def take_back(self, counters: Sequence[Counter]) -> None:
        """Forget a try that was counted."""
        self._take_back(keys=_names(counters))


class InMongo:
    """Counters as documents {_id: key, tries, until, forget_at}."""

    def __init__(self, collection: Collection[dict[str, Any]]) -> None:
        self._collection = collection

    def create_indexes(self) -> None:
        """Forget counters after their time."""
        self._collection.create_index("forget_at", expireAfterSeconds=0)

    def count(self, counters: Sequence[Counter]) -> float:
        """Count a try; return 0, or for how many seconds there may be none."""
        wait = self._longest_wait(counters, utc_now())
        return wait or max(map(self._count, counters), default=0)

    def _count(self, counter: Counter) -> float:
        for _ in range(FIRST_TRIES):
            now = utc_now()
            try:
                where = {"_id": counter.key, "until": {"$lte": now}}
                self._collection.update_one(where, _one_more(counter, now), upsert=True)
                return 0
            except DuplicateKeyError:  # somebody else counted the try after which all must wait, or just the first one
                if wait := self._longest_wait([counter], utc_now()):
                    return wait
        return 1

    def take_back(self, counters: Sequence[Counter]) -> None:
        """Forget a try that was counted."""
        where = {"_id": {"$in": [counter.key for counter in counters]}, "tries": {"$gt": 0}}
        self._collection.update_many(where, {"$inc": {"tries": -1}, "$set": {"until": NO_WAIT}})

    def _longest_wait(self, counters: Sequence[Counter], now: datetime) -> float:
        where = {"_id": {"$in": [counter.key for counter in counters]}, "until": {"$gt": now}}
        return max(((found["until"] - now).total_seconds() for found in self._collection.find(where)), default=0)


class Attempts:
    """Refuses tries that come too soon."""

    def __init__(self, in_redis: InRedis, in_mongo: InMongo) -> None:
        self._in_redis, self._in_mongo = in_redis, in_mongo
        self._redis_again_at = 0.0

    def count(self, counters: Sequence[Counter]) -> None:
        """Count a try; raise TooManyAttempts, and count nothing, when it comes too soon."""
        wait = self._do("count", counters)
        if wait:
            raise TooManyAttempts(
                "Too many tries. Wait a little before you try again.", retry_after=max(1, math.ceil(wait))
            )

    @contextmanager
    def counting(self, counters: Sequence[Counter], wrong: type[Exception]) -> Iterator[None]:
        """Run the block as one try, which stays counted only if it raises `wrong`; raise TooManyAttempts."""
        self.count(counters)
        try:
            yield
        except wrong:
            raise
        except BaseException:
            self._do("take_back", counters)
            raise
        self._do("take_back", counters)

    def _do(self, step: str, counters: Sequence[Counter]) -> Any:
        if time.monotonic() >= self._redis_again_at:
            try:
                return getattr(self._in_redis, step)(counters)
            except (redis.RedisError, OSError) as error:
                self._redis_again_at = time.monotonic() + REDIS_PAUSE_SECONDS
                log.warning("tries are counted in MongoDB, as Redis is away: %s", error)
        return getattr(self._in_mongo, step)(counters)


def _names(counters: Sequence[Counter]) -> list[str]:
    return [f"auth:tries:{counter.key}" for counter in counters]


def _one_more(counter: Counter, now: datetime) -> list[dict[str, Any]]:
    over = {"$subtract": ["$tries", counter.limit.free]}
    seconds = {"$min": [counter.limit.longest, {"$pow": [2, {"$max": [0, {"$min": [over, 20]}]}]}]}
    until = {"$add": [now, {"$multiply": [1000, seconds]}]}
    return [
        {
            "$set": {
                "tries": {"$add": [{"$ifNull": ["$tries", 0]}, 1]},
                "forget_at": now + timedelta(seconds=REMEMBERED_SECONDS),
            }
        },
        {"$set": {"until": {"$cond": [{"$lt": ["$tries", counter.limit.free]}, NO_WAIT, until]}}},
    ]
