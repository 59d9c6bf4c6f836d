"""What other programs on the machine disturb is measured again."""

import time
from itertools import chain, repeat

import pytest

from dev.bench import quiet

QUICK, SLOW = 1.0, 1.5


@pytest.fixture
def probes(monkeypatch):
    """Return a function that sets what the next probes are, the last of them for ever."""

    def will_take(*seconds):
        taken = chain(seconds, repeat(seconds[-1]))
        monkeypatch.setattr(quiet, "probe", lambda: next(taken))

    monkeypatch.setattr(quiet.Patience, "quickest", QUICK)
    monkeypatch.setattr(quiet, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(quiet, "LOOKS", 1)
    return will_take


def test_round_is_measured_again_when_others_disturbed_it(probes):
    probes(SLOW, QUICK, SLOW, QUICK)
    measured = iter(["disturbed", "undisturbed"])

    assert quiet.Patience(60).measured(lambda: next(measured)) == "undisturbed"


def test_round_counts_once_there_is_no_more_patience(probes):
    probes(SLOW)
    measured = iter(["first", "second"])

    assert quiet.Patience(0).measured(lambda: next(measured)) == "first"


def test_round_that_takes_longer_than_the_patience_left_is_not_measured_again(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(quiet.Patience, "_is_quiet", lambda _: now[0] == 0)
    measured = iter(["first", "second"])

    def lengthy():
        now[0] += 54
        return next(measured)

    assert quiet.Patience(20).measured(lengthy) == "first"


def test_probe_shows_how_quick_the_machine_is():
    assert 0 < quiet.probe() < 60
