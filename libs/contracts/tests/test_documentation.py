"""The catalogue in docs/events.md is that of the code; run this file as a program to write it there."""

from dev.testing import ROOT
from libs.contracts.events import CATALOGUE

PAGE = ROOT / "docs" / "events.md"
BEGIN = "<!-- the catalogue: libs/contracts/tests/test_documentation.py says what it must be -->\n"
END = "<!-- end of the catalogue -->"


def catalogue():
    rows = ["| event | published by | listeners | broadcast to | body |", "| --- | --- | --- | --- | --- |"]
    for event in CATALOGUE.values():
        who = [", ".join(names) or "–" for names in (event.listeners, event.broadcast)]
        rows.append(f"| {event.name} | {event.source} | {who[0]} | {who[1]} | {type(event.schema).__name__} |")
    return "\n".join(rows) + "\n"


def test_the_page_has_the_catalogue_of_the_code():
    page = PAGE.read_text()

    assert page.partition(BEGIN)[2].partition(END)[0] == catalogue(), f"run python -m {__name__}"


if __name__ == "__main__":
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + catalogue() + END + rest.partition(END)[2])
