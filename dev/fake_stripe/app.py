"""The fake Stripe's web application: its API, its controls and what browsers load."""

import re

from flask import Flask, Response, request

from dev.fake_stripe import browser, control, languages
from dev.fake_stripe.api import Api, response_to
from dev.fake_stripe.errors import StripeError
from dev.fake_stripe.idempotency import Reply
from dev.fake_stripe.routes import ROUTES
from dev.fake_stripe.state import State
from dev.fake_stripe.webhooks import Webhooks

LOOPBACK_ORIGIN = re.compile(r"https?://(127\.0\.0\.1|localhost)(:\d+)?")


def create_app(state: State, webhooks: Webhooks) -> Flask:
    """Return the application on this state; the caller starts and stops the webhooks."""
    app = Flask(__name__, static_url_path="/v3/static")
    api = Api(state, webhooks)
    app.extensions["fake_stripe"] = api
    for route in ROUTES:
        endpoint = f"{route.method} {route.path}"
        app.add_url_rule(route.path, endpoint, api.view(route), methods=[route.method], provide_automatic_options=False)
    app.register_blueprint(control.blueprint(api))
    app.register_blueprint(browser.blueprint(api))
    languages.register(app)
    app.register_error_handler(404, lambda error: _no_such_route())
    app.register_error_handler(405, lambda error: _no_such_route())
    app.register_error_handler(StripeError, lambda error: response_to(Reply(error.status, error.body)))
    app.after_request(_allow_pages_on_this_machine)
    return app


def _no_such_route() -> Response:
    message = f"Unrecognized request URL ({request.method}: {request.path})."
    return response_to(Reply(404, StripeError(404, "invalid_request_error", message).body))


def _allow_pages_on_this_machine(response: Response) -> Response:
    """Let Stripe.js call the API from a page on a loopback address, as Stripe does from anywhere."""
    origin = request.headers.get("Origin", "")
    if request.path.startswith("/v1/") and LOOPBACK_ORIGIN.fullmatch(origin):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Vary"] = "Origin"
        if request.method == "OPTIONS":
            response.status_code = 204
            response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, Idempotency-Key"
            response.headers["Access-Control-Allow-Methods"] = "GET, POST"
    return response
