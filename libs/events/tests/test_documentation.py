"""docs/events.md has the catalogue as the code has it; run this file as a program to write it there."""

from types import SimpleNamespace

from dev.testing import ROOT
from libs.contracts.events import CATALOGUE, Snapshot, TicketCreated
from libs.events import Event
from libs.events.testing import AggregatesInMemory, CopiesInMemory

PAGE = ROOT / "docs" / "events.md"
BEGIN = "<!-- the catalogue: libs/events/tests/test_documentation.py says what it must be -->\n"
END = "<!-- end of the catalogue -->"


def catalogue():
    rows = ["| event | published by | listeners | broadcast to | body |", "| --- | --- | --- | --- | --- |"]
    for event in CATALOGUE.values():
        who = [", ".join(names) or "–" for names in (event.listeners, event.broadcast)]
        rows.append(f"| {event.name} | {event.source} | {who[0]} | {who[1]} | {type(event.schema).__name__} |")
    return "\n".join(rows) + "\n"


def test_the_page_has_the_catalogue_of_the_code():
    page = PAGE.read_text()

    assert page.partition(BEGIN)[2].partition(END)[0] == catalogue()


def test_the_service_in_ten_lines_makes_one_badge_for_each_ticket():
    code = PAGE.read_text().partition("## A service in ten lines")[2].partition("```python\n")[2].partition("```")[0]
    names = {"Aggregates": lambda _: AggregatesInMemory(), "Copies": lambda _: CopiesInMemory()}
    names |= {"Stored": lambda store: None, "handles": lambda event: lambda handler: handler}
    names |= {"TicketCreated": TicketCreated, "BadgeMade": Event("BadgeMade", "badges", (), Snapshot())}
    exec(code, names)  # noqa: S102 - it is our own page
    service = names["BadgesService"]()
    service.store = names["BadgeStore"](SimpleNamespace(badges=None, tickets=None))

    for _ in range(2):
        service.on_ticket_created({"id": "t1", "version": 1, "title": "Hamlet"})

    assert [pending["id"] for pending in service.store.badges.outbox] == ["BadgeMade:t1:1"]
    assert service.store.tickets.find("t1")["title"] == "Hamlet"


if __name__ == "__main__":
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + catalogue() + END + rest.partition(END)[2])
