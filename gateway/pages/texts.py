"""The operator's texts as pages."""

from typing import Any

from flask import Blueprint, abort, current_app, render_template

from gateway.languages import language
from gateway.texts import Text

bp = Blueprint("texts", __name__)


@bp.get("/about/<name>")
def show(name: str) -> Any:
    """Show one text."""
    if name not in all_texts():
        abort(404)
    return render_template("text.html", name=name, text=all_texts()[name])


def all_texts() -> dict[str, Text]:
    """Return all texts by name, in the visitor's language where available, else in English."""
    texts: dict[str, Text] = current_app.extensions["texts"][language()]
    return texts
