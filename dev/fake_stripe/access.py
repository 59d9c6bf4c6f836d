"""API keys: secret ones may do all, publishable ones (in browsers) what a payment page needs, live ones nothing."""

import re

from flask import request

from dev.fake_stripe.errors import unauthorized

KEY = re.compile(r"(sk|rk|pk)_test_\w+")
NO_KEY = (
    "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth "
    "(e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
)
NOT_FOR_BROWSERS = (
    "This API call cannot be made with a publishable API key. Please use a secret API key. "
    "You can find a list of your API keys at https://dashboard.stripe.com/account/apikeys."
)


def is_publishable(allowed: bool) -> bool:
    """Return whether the request's key is publishable (if `allowed`); refuse (401) a missing or wrong one."""
    key = _key()
    if not key:
        raise unauthorized(NO_KEY)
    if not KEY.fullmatch(key):
        raise unauthorized(f"Invalid API Key provided: {key[:8]}{'*' * 8}{key[-4:] if len(key) > 16 else ''}")
    publishable = key.startswith("pk_")
    if publishable and not allowed:
        raise unauthorized(NOT_FOR_BROWSERS, code="secret_key_required")
    return publishable


def _key() -> str | None:
    authorization = request.authorization
    if authorization is None:
        return request.values.get("key")
    return authorization.token if authorization.type == "bearer" else authorization.username
