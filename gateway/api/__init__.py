"""The JSON API."""

from flask import Flask

from gateway import openapi
from gateway.api import events, orders, payments, sellers, sessions, tickets, users, webhooks
from gateway.bodies import check_body


def register(app: Flask) -> None:
    """Give `app` every route under /api."""
    app.before_request(check_body)
    for module in (users, sessions, tickets, events, sellers, orders, payments, webhooks):
        app.register_blueprint(module.bp)
    openapi.register(app)
