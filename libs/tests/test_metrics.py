import pytest

from libs import metrics


@pytest.fixture
def seen():
    observations = []
    stop = metrics.register(lambda name, value, labels: observations.append((name, value, labels)))
    yield observations
    stop()


def test_observers_are_told_name_value_and_labels(seen):
    metrics.observe("relay_batch_events", 3, collection="orders")

    assert seen == [("relay_batch_events", 3, {"collection": "orders"})]


def test_an_observer_that_fails_disturbs_nothing(seen):
    def broken(name, value, labels):
        raise RuntimeError("the monitoring is away")

    stop = metrics.register(broken)
    metrics.observe("relay_batch_events", 3, collection="orders")
    stop()

    assert len(seen) == 1


def test_nobody_has_to_listen():
    metrics.observe("relay_batch_events", 3, collection="orders")
