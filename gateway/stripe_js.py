"""Stripe.js for pages with a card form: its address, and the sources that the content security policy must allow."""

from urllib.parse import urlsplit

from gateway.settings import Settings

SCRIPT = "https://js.stripe.com/v3/"  # must come from Stripe's own host (docs.stripe.com/js/including)
SCRIPT_HOSTS = "https://js.stripe.com https://*.js.stripe.com"
API_HOST = "https://api.stripe.com"
CHALLENGE_HOST = "https://hooks.stripe.com"


def script_url(settings: Settings) -> str:
    """Return the address of Stripe.js, or of its simulation."""
    return f"{settings.stripe_api_base.rstrip('/')}/v3/" if settings.stripe_api_base else SCRIPT


def allowed_sources(settings: Settings) -> dict[str, str]:
    """Return the sources that Stripe.js needs, by directive of the policy (docs.stripe.com/security/guide)."""
    if settings.stripe_api_base:
        address = urlsplit(settings.stripe_api_base)
        origin = f"{address.scheme}://{address.netloc}"
        return {"script-src": origin, "connect-src": origin, "frame-src": origin}
    return {
        "script-src": SCRIPT_HOSTS,
        "connect-src": API_HOST,
        "frame-src": f"{SCRIPT_HOSTS} {CHALLENGE_HOST}",
    }
