"""The secrets of a stack: made once, kept in a file that only its owner can read."""

import base64
import secrets
from pathlib import Path

from libs.contracts.parts import BROKER_USERS, MONGO_USERS, PARTS
from libs.tokens import new_key
from ops import private_files, redis_users


def keep(path: Path) -> dict[str, str]:
    """Return the secrets by setting name from `path`; make and save first those that it lacks."""
    kept = dict(line.split("=", 1) for line in path.read_text().splitlines()) if path.exists() else {}
    made = generate()
    if made.keys() - kept.keys():
        kept = made | kept
        lines = "".join(f"{name}={value}\n" for name, value in kept.items())
        private_files.replace(path, lines)
    return kept


def generate() -> dict[str, str]:
    """Return new secrets: keys and passwords of the parts, passwords of the servers, keys in the shape of Stripe's."""
    keys = {name: new_key(f"{name}:1") for name in PARTS}
    return {
        **{f"{name.upper()}_SIGNING_KEY": private for name, (private, _) in keys.items()},
        "TOKEN_PUBLIC_KEYS": ",".join(public for _, public in keys.values()),
        "AUTH_ENCRYPTION_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "GATEWAY_SECRET_KEY": secrets.token_hex(32),
        "RABBITMQ_PASSWORD": secrets.token_hex(16),
        **{broker_password(name): secrets.token_hex(16) for name in BROKER_USERS},
        "MONGO_KEY": secrets.token_hex(64),
        "MONGO_PASSWORD": secrets.token_hex(16),
        **{mongo_password(name): secrets.token_hex(16) for name in (*MONGO_USERS, "migrate")},
        "REDIS_PASSWORD": secrets.token_hex(16),
        **{redis_password(name): secrets.token_hex(16) for name in redis_users.RULES},
        "STRIPE_SECRET_KEY": f"sk_test_{secrets.token_hex(16)}",
        "STRIPE_PUBLISHABLE_KEY": f"pk_test_{secrets.token_hex(16)}",
        "STRIPE_WEBHOOK_SECRET": f"whsec_{secrets.token_hex(16)}",
    }


def broker_password(part: str) -> str:
    """Return the name of the secret that is the password of a part's user at RabbitMQ."""
    return f"{part.upper()}_RABBITMQ_PASSWORD"


def mongo_password(name: str) -> str:
    """Return the name of the secret that is the password of a user at MongoDB."""
    return f"{name.upper()}_MONGO_PASSWORD"


def redis_password(program: str) -> str:
    """Return the name of the secret that is the password of a program's user at Redis."""
    return f"{program.upper()}_REDIS_PASSWORD"
