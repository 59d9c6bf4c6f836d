"""The controls under /_control, for programs on this machine never for pages (the package's docstring lists them)."""

from typing import Any

from flask import Blueprint, Response, jsonify, request

from dev.fake_stripe import attempts, charges, disputes, intents, ledger, refunds
from dev.fake_stripe.api import Api
from dev.fake_stripe.errors import StripeError, invalid, unauthorized
from dev.fake_stripe.faults import Fault
from dev.fake_stripe.locks import WAIT_SECONDS
from dev.fake_stripe.objects import visible
from dev.fake_stripe.state import Document
from dev.fake_stripe.webhooks import LOOPBACK, Rule


def blueprint(api: Api) -> Blueprint:
    """Return the controls of one API."""
    controls = Blueprint("control", __name__, url_prefix="/_control")
    controls.before_request(_only_from_this_machine)
    _money(controls, api)
    _trouble(controls, api)

    @controls.get("/ledger")
    def read_ledger() -> Response:
        with api.state.transaction():
            return jsonify(ledger.read(api.state, request.args.get("order_id")))

    @controls.get("/requests")
    def list_requests() -> Response:
        return jsonify(api.requests)

    @controls.post("/reset")
    def reset() -> Response:
        api.faults.clear()
        api.requests.clear()
        api.locks.wait = WAIT_SECONDS
        api.state.clear()
        api.webhooks.forget()
        return jsonify({})

    @controls.post("/clock")
    def advance_clock() -> Response:
        return jsonify({"offset": api.keys.advance(float(_body().get("advance", 0)))})

    @controls.post("/search")
    def let_search_lag() -> Response:
        lag = float(_body().get("lag", 0))
        with api.state.transaction():
            api.state.set("search_lag", str(lag))
        return jsonify({"lag": lag})

    return controls


def _only_from_this_machine() -> None:
    host = request.host.rsplit(":", 1)[0]
    if request.remote_addr != "127.0.0.1" or host not in LOOPBACK or "Origin" in request.headers:
        raise unauthorized("The controls answer programs on this machine only.")


def _money(controls: Blueprint, api: Api) -> None:
    """Changes of money without a call of the API."""

    @controls.post("/authenticate")
    def authenticate() -> Response:
        body = _body()
        call = api.call()
        with api.state.transaction():
            intent = intents.get(call, body.get("payment_intent", ""))
            answered = attempts.authenticate(call, intent, body.get("outcome", "complete") == "complete")
        return _done(api, answered)

    @controls.post("/refunds")
    def refund() -> Response:
        body = _body()
        call = api.call(params=body)
        with api.state.transaction():
            if "begin" in body:
                api.state.set("refunds_begin", str(body["begin"]))
                return jsonify(body)
            refund = refunds.finish(call, body.pop("refund"), **body) if "refund" in body else refunds.create(call)
        return _done(api, refund)

    @controls.post("/disputes")
    def dispute() -> Response:
        body, call = _body(), api.call()
        with api.state.transaction():
            if "dispute" in body:
                return _done(api, disputes.move(call, body["dispute"], body.get("status", "lost")))
            id = body.get("charge")
            if "payment_intent" in body:
                id = intents.get(call, body["payment_intent"])["latest_charge"]
            about = (body.get("reason", "fraudulent"), bool(body.get("inquiry")), body.get("amount"))
            opened = disputes.open_dispute(call, charges.get(call, id or ""), *about)
        return _done(api, opened)


def _trouble(controls: Blueprint, api: Api) -> None:
    """Faults of webhooks and requests."""

    @controls.route("/webhooks", methods=["GET", "POST", "DELETE"])
    def webhooks() -> Response:
        if request.method == "POST":
            api.webhooks.rules.append(_made(Rule))
        if request.method == "DELETE":
            api.webhooks.use_plain_delivery()
        return jsonify(api.webhooks.report())

    @controls.post("/locks")
    def locks() -> Response:
        api.locks.wait = float(_body().get("wait", WAIT_SECONDS))
        return jsonify({"wait": api.locks.wait})

    @controls.route("/faults", methods=["GET", "POST", "DELETE"])
    def faults() -> Response:
        if request.method == "POST":
            api.faults.add(_made(Fault))
        if request.method == "DELETE":
            api.faults.clear()
        return jsonify(api.faults.report())


def _body() -> dict[str, Any]:
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, dict):
        raise invalid("A control takes a JSON object.")
    return body


def _made(kind: type) -> Any:
    try:
        return kind(**_body())
    except (TypeError, ValueError) as problem:
        raise StripeError(400, "invalid_request_error", str(problem)) from None


def _done(api: Api, document: Document) -> Response:
    api.webhooks.wake()
    return jsonify(visible(document))
