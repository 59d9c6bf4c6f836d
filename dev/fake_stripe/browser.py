"""Resources for a buyer's browser: the stand-in for Stripe.js, the payment element's frame, and the 3-D Secure page."""

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from flask import Blueprint, Response, current_app, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from dev.fake_stripe import attempts, intents
from dev.fake_stripe.api import Api
from dev.fake_stripe.state import Document
from libs.contracts.currencies import currency_of

PAGES_ON_THIS_MACHINE = "http://127.0.0.1:* http://localhost:* https://127.0.0.1:* https://localhost:*"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
    f"frame-ancestors {PAGES_ON_THIS_MACHINE}"
)


def blueprint(api: Api) -> Blueprint:
    """Return the pages and scripts of one API."""
    pages = Blueprint("browser", __name__)

    @pages.get("/v3/")
    @pages.get("/v3")
    def script() -> Response:
        response = current_app.send_static_file("stripe.js")
        response.headers |= {"Cross-Origin-Resource-Policy": "cross-origin", "Access-Control-Allow-Origin": "*"}
        return response

    @pages.get("/v3/payment-element")
    def element() -> AnyResponse:
        return _page("element.html")

    @pages.route("/3d_secure/<id>", methods=["GET", "POST"])
    def challenge(id: str) -> AnyResponse:
        with api.state.transaction():
            call = api.call(publishable=True, params={"client_secret": request.args.get("client_secret")})
            intent = intents.get(call, id)
            if request.method == "POST":
                intent = attempts.authenticate(call, intent, request.form.get("outcome") == "complete")
        api.webhooks.wake()
        return _answered(intent)

    return pages


def _answered(intent: Document) -> AnyResponse:
    """Return the challenge or, once answered, a redirect to the shop or a message to the page around the frame."""
    framed = "frame" in request.args
    done = intent["status"] != "requires_action"
    if done and not framed and intent.get("_return_url"):
        return redirect(_way_back(intent), 303)
    amount = f"{currency_of(intent['currency']).major(intent['amount']):,}"
    return _page("challenge.html", done=done, framed=framed, amount=amount, currency=intent["currency"].upper())


def _way_back(intent: Document) -> str:
    address = urlsplit(intent["_return_url"])
    paid = intent["status"] in ("succeeded", "requires_capture", "processing")
    query = parse_qsl(address.query) + [
        ("payment_intent", intent["id"]),
        ("payment_intent_client_secret", intent["client_secret"]),
        ("redirect_status", "succeeded" if paid else "failed"),
    ]
    return urlunsplit(address._replace(query=urlencode(query)))


def _page(template: str, **context: object) -> AnyResponse:
    response = Response(render_template(template, **context))
    response.headers |= {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
    return response
