"""docs/scaling.md follows from the measured results."""

import pytest

from dev.bench import report, scaling
from dev.bench.simulation import Machine, Simulation


def test_the_page_agrees_with_the_measured_figures():
    if not (report.ROOT / report.JSON).exists():
        pytest.skip("nothing has been measured yet")
    results, _ = report.read_stored()

    assert (report.ROOT / scaling.PAGE).read_text() == scaling.page(results)


def test_what_saturates_first_is_what_does_the_most_for_each_of_its_processes():
    assert scaling.first_to_saturate({"gateway": 2.4, "orders": 1.3, "mongo": 4.5}) == "orders"
    assert scaling.first_to_saturate({"gateway": 2.8, "orders": 1.3, "mongo": 4.5}) == "gateway"


def test_the_ceilings_are_computed_from_the_cpu_time_of_each_program():
    programs = {"gateway": 2.0, "orders": 4.0, "mongo": 4.0, "rabbitmq": 0.5, "fake-stripe": 9.0, "epmd": 0.01}

    lines = scaling.page({"reservation": {"programs": programs}}).splitlines()

    assert "| reservation | 1 000 | **250** | 250 | 2 000 | 190 |" in lines
    assert "| reservation | 2.00 | 4.00 | 4.00 | 0.50 | 10.5 |" in lines
    assert "| reservation | 4 000 | 32 000 | 24.0 |" in lines


def test_the_simulation_agrees_with_what_was_measured_within_a_fifth():
    results, _ = report.read_stored()

    ratios = {(row, figure): found / measured for row, _, figure, found, measured in scaling.predictions(results)}

    assert len(ratios) == sum(len(figures) for *_, figures in scaling.PREDICTED.values())
    assert {each: ratio for each, ratio in ratios.items() if not 0.8 < ratio < 1.2} == {}


@pytest.mark.parametrize(
    ("spent", "processes", "per_second"),
    [({"orders": 10}, {}, 100), ({"orders": 10}, {"orders": 2}, 200), ({"mongo": 10}, {}, 200)],
)
def test_a_program_saturates_with_its_processes_and_a_server_with_the_cores(spent, processes, per_second):
    outcome = Simulation(Machine(2, 0.0, processes), {"client": 0.1, **spent}).at_once(16, 200)

    assert outcome.per_second == pytest.approx(per_second, rel=0.1)


def test_who_comes_alone_waits_for_nobody():
    outcome = Simulation(Machine(processes={"orders": 2}), {"orders": 10.0}).arriving(1, 50)

    assert 5 < outcome.percentile(50) < 15


def test_who_comes_alone_waits_once_for_others_to_ask_with():
    outcome = Simulation(Machine(2), {"gateway": 1.0, "orders": 0.3}, gather_ms=5.0).at_once(1, 50)

    assert 5.5 < outcome.percentile(50) < 8


def test_what_is_asked_together_is_done_one_batch_at_a_time_in_each_process():
    asked = {"gateway": 0.1, "orders": 0.1}

    one = Simulation(Machine(2, processes={"gateway": 1}), asked, gather_ms=5.0).at_once(16, 200)
    two = Simulation(Machine(2, processes={"gateway": 2}), asked, gather_ms=5.0).at_once(16, 200)

    assert one.per_second < two.per_second
