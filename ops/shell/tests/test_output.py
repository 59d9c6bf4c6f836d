import json

import pytest

from ops.shell.output import as_json, displayable

HOSTILE = "Hamlet\x1b[2J\x9b31m\u202eteleM ü €"


def test_answers_are_json_in_a_pipe():
    shown = repr(displayable([{"title": HOSTILE, "cents": 100}]))

    assert json.loads(shown) == [{"title": HOSTILE, "cents": 100}]


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.usefixtures("terminal")
def test_answers_are_tables_on_a_terminal():
    shown = repr(displayable([{"id": "o1", "state": "created"}, {"id": "o2", "why": {"a": 1}}]))

    assert [line.split() for line in shown.splitlines() if "o" in line] == [["o1", "created"], ["o2", '{"a":', "1}"]]
    assert repr(displayable([])) == repr(displayable([{}])) == "nothing"
    assert "replayed" in repr(displayable({"replayed": 1}))


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("columns", ["40", "80", "130", "300"])
def test_ids_and_commands_can_be_copied_from_a_terminal_of_any_width(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    ident, repair = "6b09e26038e5d079f0cad78b", 'replay("orders.TicketUpdated", exception="KeyError")'
    row = {"kind": "events parked", "id": ident, "since": "2026-11-27T20:00:00+00:00", "why": "3 events: KeyError"}

    shown = repr(displayable([row | {"repair": repair}] * 2))

    assert (shown.count(ident), shown.count(repair)) == (2, 2)
    assert f"order_id: {ident * 3}" in repr(displayable({"order_id": ident * 3})) or int(columns) > 80


@pytest.mark.usefixtures("terminal")
def test_nothing_that_somebody_typed_moves_the_cursor_of_an_operator():
    for shown in (repr(displayable([{"title": HOSTILE}])), repr(displayable({"title": HOSTILE})), as_json(HOSTILE)):
        assert all(character.isprintable() or character == "\n" for character in shown), shown
        assert "\\u001b[2J" in shown and "ü €" in shown
