"""The pages; they work without JavaScript."""

from flask import Flask

from gateway import formats, holds, sellers
from gateway.api.paging import filtered_path, next_path, page_path, previous_path
from gateway.artwork import artwork, illustration
from gateway.errors import current_page
from gateway.pages import account, account_security, account_sessions, crawlers, events, home, orders, texts, tickets
from gateway.settings import Settings
from gateway.sharing import describe, describe_event, event_json_ld, json_ld
from gateway.stripe_js import script_url


def register(app: Flask, settings: Settings) -> None:
    """Give `app` its pages, and the templates their helpers."""
    formats.register(app)
    sellers.register(app)
    app.jinja_env.globals["settings"] = settings
    for path in (page_path, next_path, previous_path, filtered_path):
        app.add_template_global(path)
    app.jinja_env.globals["stripe_script"] = script_url(settings)
    app.extensions["texts"] = settings.texts
    for helper in (
        describe,
        describe_event,
        json_ld,
        event_json_ld,
        artwork,
        illustration,
        home.theme,
        holds.held,
        crawlers.public,
        texts.all_texts,
        current_page,
    ):
        app.add_template_global(helper)
    for module in (home, tickets, events, account, account_security, account_sessions, orders, texts, crawlers):
        app.register_blueprint(module.bp)
