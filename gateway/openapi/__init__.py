"""The OpenAPI description, generated from the schemas of the bodies, served as JSON and as a page."""

from typing import Any

from flask import Blueprint, Flask, current_app, render_template

from gateway.openapi.description import describe

bp = Blueprint("openapi", __name__, url_prefix="/api")


def register(app: Flask) -> None:
    """Give `app` /api/openapi.json and /api/docs."""
    app.register_blueprint(bp)
    app.extensions["openapi"] = describe(app)


@bp.get("/openapi.json")
def document() -> Any:
    """Return the description in OpenAPI 3.1."""
    return current_app.extensions["openapi"]


@bp.get("/docs")
def page() -> str:
    """Show the description as a page."""
    return render_template("docs/show.html", api=current_app.extensions["openapi"])
