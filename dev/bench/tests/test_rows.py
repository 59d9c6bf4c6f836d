"""Which rows are measured, in which order, and how their results are reported."""

from contextlib import nullcontext

import pytest

from dev.bench import report
from dev.bench.figures import Figure, became_slower, misses, summarize
from dev.bench.quiet import Patience
from dev.bench.rows import Measured, Row, Suite, UnknownRow, chosen, in_turn


def row(name, **options):
    return Row(name, f"what {name} is", lambda taken: taken.append(name) or Measured({"cpu_ms": len(taken)}), **options)


ROWS = [row("list-20"), row("list-50"), row("listing"), row("losses", named_only=True, rounds=1)]


def names(rows):
    return [each.name for each in rows]


def test_without_names_all_rows_are_measured_but_those_that_have_to_be_named():
    assert names(chosen(ROWS, [])) == ["list-20", "list-50", "listing"]


def test_a_name_stands_for_its_row_and_for_those_below_it():
    assert names(chosen(ROWS, ["list"])) == ["list-20", "list-50"]
    assert names(chosen(ROWS, ["losses", "list-50"])) == ["list-50", "losses"]


def test_an_unknown_row_is_refused_with_the_names_of_those_that_there_are():
    with pytest.raises(UnknownRow, match="no row 'lost'. There are: list-20, list-50, listing, losses"):
        chosen(ROWS, ["list-20", "lost"])


def test_rows_are_measured_in_turn():
    taken = []
    suite = Suite("A title", "", ROWS, lambda rows: nullcontext(taken))

    results = in_turn(suite, [ROWS[0], ROWS[3], ROWS[1]], lambda step: None, Patience(0))

    assert taken == ["list-20", "losses", "list-50", "list-20", "list-50", "list-20", "list-50"]
    assert [each.figures["cpu_ms"] for each in results["list-50"]] == [3, 5, 7]


def test_a_row_that_fails_is_reported_and_the_others_go_on():
    def fail(_):
        raise AssertionError("503 instead of 200")

    said = []
    suite = Suite("A title", "", ROWS, lambda rows: nullcontext([]))

    results = in_turn(suite, [Row("broken", "", fail), ROWS[0]], said.append, Patience(0))

    assert results.keys() == {"list-20"}
    assert len(results["list-20"]) == 3
    assert "broken FAILED: AssertionError: 503 instead of 200" in said


def test_the_result_is_the_median_with_the_noise_around_it():
    runs = [Measured({"cpu_ms": cpu_ms}, {"mongo": cpu_ms / 2}) for cpu_ms in (8.0, 2.0, 3.0)]

    assert summarize(runs) == {"figures": {"cpu_ms": Figure(3.0, 2.0, 8.0)}, "programs": {"mongo": 1.5}}


@pytest.mark.parametrize(
    ("name", "then", "now", "times"),
    [
        ("cpu_ms", (3, 2, 4), (6, 5, 7), 2.0),
        ("per_second", (300, 280, 310), (150, 140, 160), 2.0),
        ("cpu_ms", (3, 2, 4), (6, 3.9, 7), None),  # within the noise
        ("cpu_ms", (6, 5, 7), (3, 2, 4), None),  # faster
        ("per_second", (150, 140, 160), (300, 280, 310), None),
        ("cpu_ms", (3, 2.99, 3.01), (3.05, 3.04, 3.06), None),  # hardly
        ("others_p99_ms", (0, 0, 0), (3, 3, 3), None),
    ],
)
def test_only_what_became_slower_beyond_the_noise_is_named(name, then, now, times):
    found = list(became_slower({"list": {name: Figure(*then)}}, {"list": {name: Figure(*now)}, "new": {}}))

    assert found == ([("list", name, times)] if times else [])


def test_an_aim_is_missed_on_its_wrong_side():
    assert misses("per_second", Figure(99, 99, 101), 100)
    assert not misses("per_second", Figure(101, 99, 101), 100)
    assert misses("cpu_ms", Figure(8, 7, 9), 7)
    assert not misses("cpu_ms", Figure(7, 7, 9), 7)


def test_the_report_shows_what_its_json_holds_and_marks_missed_aims(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    suite = Suite("The site", "", [row("list", aims={"per_second": 4000, "cpu_ms": 7})], lambda rows: nullcontext())
    figures = {"per_second": Figure(1234.56, 1, 2), "cpu_ms": Figure(6.5, 6, 7), "pss_mb": Figure(12, 12, 12)}

    report.save({"list": {"figures": figures, "programs": {"mongo": 1.5}}}, "a machine")
    results, machine = report.parse((tmp_path / report.JSON).read_text())

    page = report.page(results, machine, [suite])
    line = "| `list` | what list is | **1 235** | 6.50 |  |  |  | pss mb 12.0 | a second ≥ 4 000, CPU-ms ≤ 7.00 |"
    assert line in page.splitlines()
    assert "| `list` | 1.50 |" in page.splitlines()
