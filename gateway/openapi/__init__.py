"""The OpenAPI description, generated from the schemas of the bodies, served as JSON and as a page."""

from typing import Any

from flask import Blueprint, Flask, current_app, render_template

from gateway.openapi.description import describe

bp = Blueprint("openapi", __name__, url_prefix="/api")


def register(app: Flask) -> None:
    """Give `app` /api/openapi.json and /api/docs."""
    app.register_blueprint(bp)


def _description() -> dict[str, Any]:
    """Return the description, which is made when it is first asked for."""
    if "openapi" not in current_app.extensions:
        current_app.extensions["openapi"] = describe(current_app)
    description: dict[str, Any] = current_app.extensions["openapi"]
    return description


@bp.get("/openapi.json")
def document() -> Any:
    """Return the description in OpenAPI 3.1."""
    return _description()


@bp.get("/docs")
def page() -> str:
    """Show the description as a page."""
    return render_template("docs/show.html", api=_description())
