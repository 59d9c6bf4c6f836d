"""The presentation of results in docs/performance.md."""

from dev.bench import report
from dev.bench.__main__ import SUITES
from dev.bench.figures import Figure
from dev.bench.floors import FLOORS, Floor
from dev.bench.rows import Row, Suite


def page_of(monkeypatch, median):
    monkeypatch.setattr(report, "FLOORS", [Floor("list", "per_second", "6 000", "it is written in Python")])
    suite = Suite("Lists", "", [Row("list", "a list", None, {"per_second": 4000})], None)
    results = {"list": {"figures": {"per_second": Figure(median, median, median)}, "programs": {}}}
    return report.page(results, "a machine", [suite])


def test_a_missed_aim_is_shown_with_its_floor_and_why(monkeypatch):
    assert "| `list` | a second ≥ 4 000 | 3 500 | 6 000 | it is written in Python |" in page_of(monkeypatch, 3500)


def test_an_aim_that_is_reached_is_not_said_to_be_missed(monkeypatch):
    assert "missed" not in page_of(monkeypatch, 4500).partition("## ")[2]


def test_every_floor_belongs_to_an_aim():
    aims = {(row.name, name) for suite in SUITES for row in suite.rows for name in row.aims}

    assert [each for each in FLOORS if (each.row, each.figure) not in aims] == []


def test_the_page_agrees_with_the_measured_figures():
    assert (report.ROOT / report.PAGE).read_text() == report.page(*report.read_stored(), SUITES)
