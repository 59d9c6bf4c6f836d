"""The forms of Stripe's keys (https://docs.stripe.com/keys#obtain-api-keys)."""

import re
from collections.abc import Callable

from libs.settings import ForbiddenSetting


def _key(pattern: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError("malformed")
        return text

    return parse


def is_live(key: str) -> bool:
    """Return whether a secret or publishable key is of the live mode, in which cards are really charged."""
    return key.split("_")[1] == "live"


def check_base(base: str | None, key: str) -> None:
    """Stop the start with a live key while STRIPE_API_BASE leads to a fake Stripe, which would get it."""
    if base is not None and is_live(key):
        raise ForbiddenSetting("STRIPE_API_BASE", "the address of a fake Stripe, while Stripe's keys are live")


SECRET_KEY = (_key(r"[sr]k_(test|live)_\w+"), "sk_test_… or sk_live_…, or a restricted key, rk_…")
PUBLISHABLE_KEY = (_key(r"pk_(test|live)_\w+"), "pk_test_… or pk_live_…")
WEBHOOK_SECRET = (_key(r"\s*whsec_[\w+/=]+\s*(,\s*whsec_[\w+/=]+\s*)*"), "whsec_…, or several separated by commas")
"""Each with its parser, as `libs.settings.parsed` takes them."""
