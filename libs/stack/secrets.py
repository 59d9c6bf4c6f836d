"""The secrets of a stack: made once, kept in a file that only its owner can read."""

import os
import secrets
from pathlib import Path

from libs.tokens import new_key

SIGNERS = ("auth", "tickets", "orders", "payments", "expiration", "gateway", "operator")


def keep(path: Path) -> dict[str, str]:
    """Return the secrets by setting name from `path`; make and save them first when the file does not exist."""
    if not path.exists():
        lines = "".join(f"{name}={value}\n" for name, value in generate().items())
        draft = path.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(lines)
        draft.rename(path)
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def generate() -> dict[str, str]:
    """Return new secrets: a signing key for each issuer, passwords of the servers, keys in the shape of Stripe's."""
    keys = {name: new_key(f"{name}:1") for name in SIGNERS}
    return {
        **{f"{name.upper()}_SIGNING_KEY": private for name, (private, _) in keys.items()},
        "TOKEN_PUBLIC_KEYS": ",".join(public for _, public in keys.values()),
        "GATEWAY_SECRET_KEY": secrets.token_hex(32),
        "RABBITMQ_PASSWORD": secrets.token_hex(16),
        "REDIS_PASSWORD": secrets.token_hex(16),
        "STRIPE_SECRET_KEY": f"sk_test_{secrets.token_hex(16)}",
        "STRIPE_PUBLISHABLE_KEY": f"pk_test_{secrets.token_hex(16)}",
        "STRIPE_WEBHOOK_SECRET": f"whsec_{secrets.token_hex(16)}",
    }
