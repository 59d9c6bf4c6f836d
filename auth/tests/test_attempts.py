"""Counting tries in a real Redis and in a real MongoDB, which must agree."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from auth.attempts import Attempts, InMongo, InRedis
from auth.domain import Counter, Limit, TooManyAttempts
from libs.clock import utc_now

PAIR = Counter("pair", Limit(free=3, longest=900))
ADDRESS = Counter("address", Limit(free=100, longest=900))
NO_REDIS = "redis://127.0.0.1:1/"


class Wrong(Exception):
    pass


@pytest.fixture(params=["redis", "mongo"])
def attempts(request, redis_url, mongo):
    return Attempts(InRedis(redis_url if request.param == "redis" else NO_REDIS), InMongo(mongo.attempts))


def fail(attempts, counters=(PAIR,)):
    """Make a wrong try; return 0, or for how many seconds there may be none."""
    try:
        with attempts.counting(counters, Wrong):
            raise Wrong
    except Wrong:
        return 0
    except TooManyAttempts as error:
        return error.details["retry_after"]


def test_tries_after_the_free_ones_must_wait(attempts):
    assert [fail(attempts) for _ in range(5)] == [0, 0, 0, 1, 1]


def test_waits_grow(attempts):
    for _ in range(6):
        fail(attempts, [Counter("pair", Limit(free=7, longest=900))])

    assert fail(attempts, [Counter("pair", Limit(free=1, longest=900))]) == 0
    assert 60 <= fail(attempts) <= 64


def test_right_tries_are_not_counted(attempts):
    for _ in range(10):
        with attempts.counting([PAIR], Wrong):
            pass

    assert fail(attempts) == 0


def test_a_try_that_came_to_nothing_is_not_counted(attempts):
    for _ in range(10):
        with pytest.raises(KeyError), attempts.counting([PAIR], Wrong):
            raise KeyError

    assert fail(attempts) == 0


def test_of_many_at_once_no_more_than_the_free_ones_are_taken(attempts):
    with ThreadPoolExecutor(20) as pool:
        waits = list(pool.map(lambda _: fail(attempts), range(20)))

    assert waits.count(0) == PAIR.limit.free


def test_one_counter_that_is_full_stops_the_try_and_counts_for_none(attempts):
    for _ in range(20):
        fail(attempts, [PAIR, ADDRESS])

    assert fail(attempts, [Counter("address", Limit(free=4, longest=900))]) == 0


def test_redis_that_goes_away_leaves_the_limit_in_force(redis_url, mongo):
    attempts = Attempts(InRedis(redis_url), InMongo(mongo.attempts))
    assert fail(attempts) == 0

    attempts._in_redis = InRedis(NO_REDIS)

    assert [fail(attempts) for _ in range(4)] == [0, 0, 0, 1]


def test_redis_that_never_answers_is_waited_for_once(mongo):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        attempts = Attempts(InRedis(f"redis://127.0.0.1:{silent.getsockname()[1]}/"), InMongo(mongo.attempts))
        began = time.monotonic()

        assert [fail(attempts) for _ in range(5)] == [0, 0, 0, 1, 1]

    assert time.monotonic() - began < 2


def test_counters_are_forgotten_after_an_hour_of_quiet(redis_url, mongo):
    fail(Attempts(InRedis(redis_url), InMongo(mongo.attempts)))
    fail(Attempts(InRedis(NO_REDIS), InMongo(mongo.attempts)))

    with redis.Redis.from_url(redis_url) as client:
        assert 3590 <= client.ttl("auth:tries:pair") <= 3600
    kept = mongo.attempts.find_one({"_id": "pair"})
    assert 3590 <= (kept["forget_at"] - utc_now()).total_seconds() <= 3600


def test_first_tries_at_the_same_moment_are_all_free(attempts):
    with ThreadPoolExecutor(8) as pool:
        for number in range(20):
            address = Counter(f"address {number}", Limit(free=100, longest=900))
            assert list(pool.map(lambda _, address=address: fail(attempts, [address]), range(8))) == [0] * 8


def test_right_tries_at_the_same_moment_hold_nobody_up(attempts):
    def succeed(_):
        with attempts.counting([ADDRESS], Wrong):
            return "done"

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(succeed, range(400))) == {"done"}
