"""The format of answers: tables on a terminal, JSON anywhere else, or everywhere with `--json`."""

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

OPTIONS = {"json": False}
"""`json`: whether answers are JSON on a terminal, too."""
CELL = 200
"""Characters of a cell at most; JSON has all of them."""


class Rows(list[Any]):
    """A list of records, shown as a table."""

    def __repr__(self) -> str:
        return format_answer(self)


class Record(dict[str, Any]):
    """One record, shown as a table of its fields."""

    def __repr__(self) -> str:
        return format_answer(self)


def displayable(answer: Any) -> Any:
    """Return an answer whose `repr` is readable in a shell, still a list or a dictionary."""
    if isinstance(answer, list):
        return Rows(answer)
    return Record(answer) if isinstance(answer, dict) else answer


def format_answer(answer: Any) -> str:
    """Return an answer as a table on a terminal, as JSON elsewhere."""
    if OPTIONS["json"] or not sys.stdout.isatty():
        return as_json(answer)
    try:
        return _table(answer)
    except ImportError:  # rich is installed in the operators' environment only
        return as_json(answer)


def as_json(answer: Any) -> str:
    """Return an answer as JSON on one line; characters that could move the cursor of a terminal are escaped."""
    return _escaped(json.dumps(answer, ensure_ascii=False, default=str))


def _table(answer: Any) -> str:
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not isinstance(answer, (list, Mapping)):
        return _cell(answer)
    fields = answer if isinstance(answer, list) else [{"field": name, "value": answer[name]} for name in answer]
    rows = [{str(name): _cell(value) for name, value in row.items()} for row in map(_fields, fields)]
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not names:
        return "nothing"
    columns = {name: [name, *(row.get(name, "") for row in rows)] for name in names}
    widths = {name: max(map(cell_len, cells)) for name, cells in columns.items()}
    words = {name: max(map(cell_len, " ".join(cells).split()), default=0) for name, cells in columns.items()}
    # one column is wrapped, at its spaces: the one that gains most, but no command
    wrapped = max(names, key=lambda name: (name != "repair", widths[name] - words[name]))
    console = Console(force_terminal=False)
    if sum((widths | {wrapped: words[wrapped]}).values()) + 3 * len(names) + 1 > console.width:
        return "\n\n".join(map(_lines, answer if isinstance(answer, list) else [answer]))
    table = Table(box=box.SIMPLE_HEAD)
    for name in names:
        table.add_column(name, no_wrap=name != wrapped)
    for row in rows:
        table.add_row(*(Text(row.get(name, "")) for name in names))
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip()


def _fields(row: Any) -> Mapping[str, Any]:
    return row if isinstance(row, Mapping) else {"": row}


def _lines(row: Any) -> str:
    """Return a row whose table is too wide as a line for each field, so that every word can be copied."""
    return "\n".join(f"{name}: {_cell(value)}".removeprefix(": ") for name, value in _fields(row).items())


def _cell(value: Any) -> str:
    """Return a value as one line of text."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    escaped = _escaped(text)
    return escaped if len(escaped) <= CELL else f"{escaped[: CELL - 1]}…"


def _escaped(text: str) -> str:
    """Return a text without unprintable characters: users could move the operator's cursor by them."""
    return re.sub(r"[^ -~]", lambda found: found[0] if found[0].isprintable() else f"\\u{ord(found[0]):04x}", text)
