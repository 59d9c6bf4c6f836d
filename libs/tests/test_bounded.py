import random
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from libs.bounded import BoundedDict


def test_what_was_set_last_is_kept():
    kept = BoundedDict(2)

    for name in ("ana", "bo", "ana", "cy"):
        kept[name] = name.upper()

    assert dict(kept) == {"ana": "ANA", "cy": "CY"}


@pytest.fixture
def switching():
    """Threads take turns after nearly every step."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("switching")
def test_threads_that_set_the_same_at_once_all_succeed():
    kept = BoundedDict(8)

    def keep(seed):
        chance = random.Random(seed)
        for _ in range(5000):
            kept[chance.randrange(12)] = seed

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(keep, range(4)))

    assert 4 <= len(kept) <= 8
