"""How the fake Stripe's API answers a request: key, idempotency, locks, faults, and the handler in one transaction."""

from collections.abc import Callable
from typing import Any

import stripe
from flask import Response, g, json, request

from dev.fake_stripe import parameters
from dev.fake_stripe.access import is_publishable
from dev.fake_stripe.call import Call
from dev.fake_stripe.errors import StripeError
from dev.fake_stripe.faults import Fault, Faults
from dev.fake_stripe.idempotency import Keys, Reply, fingerprint
from dev.fake_stripe.locks import Locks
from dev.fake_stripe.objects import expand, new_id, visible
from dev.fake_stripe.routes import CARD_DATA, Route
from dev.fake_stripe.state import Document, State
from dev.fake_stripe.webhooks import Webhooks

HIDDEN_FROM_BROWSERS = (
    "amount_capturable",
    "amount_received",
    "application",
    "latest_charge",
    "metadata",
    "on_behalf_of",
    "review",
)


class Api:
    """The API on one state: checks, idempotency, locks, faults, then the route's handler in one transaction."""

    def __init__(self, state: State, webhooks: Webhooks) -> None:
        self.state, self.webhooks = state, webhooks
        self.keys, self.locks, self.faults = Keys(state), Locks(), Faults()
        self.requests: list[str] = []

    def view(self, route: Route) -> Callable[..., Response]:
        """Return the Flask view of a route."""

        def answer(**ids: str) -> Response:
            g.request_id, g.fault = new_id("req"), None
            self.requests.append(f"{request.method} {request.path}")
            try:
                reply = self._reply(route, ids)
            except StripeError as refused:
                reply = Reply(refused.status, refused.body)
            self.webhooks.send_queued()
            if g.fault and g.fault.kind == "lost_reply":
                request.environ["werkzeug.socket"].shutdown(2)
            return response_to(reply)

        return answer

    def call(self, **details: Any) -> Call:
        """Return a call on this state, for a handler."""
        return Call(self.state, self.webhooks, origin=request.host_url.rstrip("/"), **details)

    def _reply(self, route: Route, ids: dict[str, str]) -> Reply:
        publishable = is_publishable(route.publishable)
        pairs = list((request.form if request.method == "POST" else request.args).items(multi=True))
        pairs = [(name, text) for name, text in pairs if name not in ("key", "_stripe_version", "_stripe_account")]
        key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        call = self.call(publishable=publishable, request_id=g.request_id, idempotency_key=key)
        with self.keys.claim(key), self.locks.lock(_written(ids)):
            g.fault = self.faults.take(request.method, request.path)  # only now: others must find key and lock in use
            if g.fault and g.fault.kind == "slow":
                self.faults.delay(g.fault.seconds)
            return self._once(route, call, pairs, ids, g.fault)

    def _once(
        self, route: Route, call: Call, pairs: list[tuple[str, str]], ids: dict[str, str], fault: Fault | None
    ) -> Reply:
        key, print = call.idempotency_key, fingerprint(pairs)
        with self.state.transaction():
            reply = self.keys.recall(key, request.path, print) if key else None
            if reply is None:
                reply, kept = self._execute(route, call, pairs, ids, fault)
                if key and kept:
                    self.keys.keep(key, request.path, print, reply)
            elif fault and fault.kind == "error":
                reply = Reply(fault.error.status, fault.error.body)
        return reply

    def _execute(
        self, route: Route, call: Call, pairs: list[tuple[str, str]], ids: dict[str, str], fault: Fault | None
    ) -> tuple[Reply, bool]:
        """Return the reply, and whether to keep it for the key."""
        injected = fault.error if fault and fault.kind == "error" else None
        if injected and not (fault and fault.executed):
            return Reply(injected.status, injected.body), injected.executed
        reply = self._handled(route, call, pairs, ids)
        if injected:
            return Reply(injected.status, injected.body), injected.executed
        return reply, True

    def _handled(self, route: Route, call: Call, pairs: list[tuple[str, str]], ids: dict[str, str]) -> Reply:
        """Run the route's handler; a refusal that changed nothing is raised, which also rolls back."""
        try:
            call.params = _parameters(route, pairs, call.publishable)
            found = expand(self.state, route.handler(call, **ids), call.params.get("expand", []))
        except StripeError as refused:
            if not refused.executed:
                raise
            return Reply(refused.status, refused.body)
        return Reply(200, _for_browsers(found) if call.publishable else visible(found))


def _written(ids: dict[str, str]) -> str | None:
    """Return the id of the PaymentIntent that the request may change, or None."""
    named = ids.get("id", request.form.get("payment_intent", ""))
    return named if request.method == "POST" and named.startswith("pi_") else None


def _parameters(route: Route, pairs: list[tuple[str, str]], publishable: bool) -> dict[str, Any]:
    values = parameters.decode(pairs)
    data = {"payment_method_data": CARD_DATA} if _has_card_data(values) else {}
    extra = route.extra if publishable else {}
    return parameters.check(route.parameters, values, extra | data)


def _has_card_data(values: dict[str, Any]) -> bool:
    """Whether `payment_method_data` is a card: Stripe takes it, its library's types know other methods only."""
    data = values.get("payment_method_data")
    return isinstance(data, dict) and data.get("type") == "card"


def _for_browsers(found: Document) -> Document:
    """The fields of an object that a publishable key may read."""
    return {name: value for name, value in visible(found).items() if name not in HIDDEN_FROM_BROWSERS}


def response_to(reply: Reply) -> Response:
    """Return the response that carries a reply, with the headers that Stripe sends."""
    response = Response(json.dumps(reply.body, sort_keys=False), reply.status, mimetype="application/json")
    response.headers["Request-Id"] = g.get("request_id", "")
    response.headers["Stripe-Version"] = request.headers.get("Stripe-Version", stripe.api_version)
    if key := request.headers.get("Idempotency-Key"):
        response.headers["Idempotency-Key"] = key
    if reply.replayed:
        response.headers |= {"Idempotent-Replayed": "true", "Stripe-Should-Retry": "false"}
    return response
