"""The pages; they work without JavaScript."""

from flask import Flask

from gateway import formats
from gateway.api.paging import page_path
from gateway.pages import account, account_security, account_sessions, orders, tickets
from gateway.settings import Settings
from gateway.stripe_js import script_url


def register(app: Flask, settings: Settings) -> None:
    """Give `app` its pages, and the templates their helpers."""
    formats.register(app)
    app.jinja_env.globals["settings"] = settings
    app.jinja_env.globals["page_path"] = page_path
    app.jinja_env.globals["stripe_script"] = script_url(settings)
    for module in (tickets, account, account_security, account_sessions, orders):
        app.register_blueprint(module.bp)
