"""docs/scaling.md follows from what was measured."""

import pytest

from dev.bench import report, scaling


def test_the_page_agrees_with_the_measured_figures():
    if not (report.ROOT / report.JSON).exists():
        pytest.skip("nothing has been measured yet")
    results, _ = report.stored()

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
