"""The tables of OWASP ASVS 5.0 in docs/security.md: they have every item of levels 1 and 2, and tests that exist."""

import re

from dev.testing import ROOT

PAGE = (ROOT / "docs/security.md").read_text()
ITEMS = """
1.1.1-2 1.2.1-9 1.3.1-11 1.4.1-3 1.5.1-2 2.1.1-3 2.2.1-3 2.3.1-4 2.4.1-1 3.2.1-2 3.3.1-4 3.4.1-6 3.5.1-5 3.7.1-2
4.1.1-3 4.2.1-1 4.3.1-2 4.4.1-4 5.1.1-1 5.2.1-3 5.3.1-2 5.4.1-3 6.1.1-3 6.2.1-12 6.3.1-4 6.4.1-4 6.5.1-5 6.6.1-3
6.8.1-4 7.1.1-3 7.2.1-4 7.3.1-2 7.4.1-5 7.5.1-2 7.6.1-2 8.1.1-2 8.2.1-3 8.3.1-1 8.4.1-1 9.1.1-3 9.2.1-4 10.1.1-2
10.2.1-2 10.3.1-4 10.4.1-11 10.5.1-5 10.6.1-2 10.7.1-3 11.1.1-2 11.2.1-3 11.3.1-3 11.4.1-4 11.5.1-1 11.6.1-1 12.1.1-3
12.2.1-2 12.3.1-4 13.1.1-1 13.2.1-5 13.3.1-2 13.4.1-5 14.1.1-2 14.2.1-4 14.3.1-3 15.1.1-3 15.2.1-3 15.3.1-7 16.1.1-1
16.2.1-5 16.3.1-4 16.4.1-3 16.5.1-3 17.1.1-1 17.2.1-4 17.3.1-2
"""
"""The 70 items of level 1 and the 183 of level 2, by their sections."""


def spread(first, last):
    """Return the numbers from one to another: items of one section, or sections of one chapter."""
    head, _, low = first.rpartition(".")
    return {f"{head}.{number}" for number in range(int(low), int(last.rpartition(".")[2]) + 1)}


def required():
    ranges = (part.split("-") for part in ITEMS.split())
    return {item for first, last in ranges for item in spread(first, f".{last}")}


def listed():
    """Return the items and the whole sections that rows of the tables begin with."""
    rows = re.findall(r"^\| (\d+\.\d[\d., to]*) \|", PAGE, re.M)
    return {
        number
        for row in rows
        for part in row.split(", ")
        for number in spread(*(part.split(" to ") if " to " in part else (part, part)))
    }


def test_every_item_of_levels_1_and_2_is_in_a_table():
    found = listed()

    assert len(required()) == 70 + 183
    assert sorted(item for item in required() if not {item, item.rpartition(".")[0]} & found) == []


def test_every_test_that_a_table_names_exists():
    named = set(re.findall(r"(?:`|::)(test_\w+)`", PAGE))
    there = {
        name
        for path in ROOT.rglob("test_*.py")
        if not {".venv", ".stack"} & set(path.relative_to(ROOT).parts)
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.M)
    }

    assert len(named) > 100 and named - there == set()
