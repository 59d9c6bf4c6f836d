"""Re-encrypt the secrets of all authenticator apps with the newest key: `python -m ops.reencrypt`.

Run it between the last two steps of a rotation (docs/operations.md), with auth's settings: when the new key is first,
and before the old one is removed. Safe to repeat, and to run while auth does. Exits with code 1, and a message that
names the users, if there are apps that none of the keys decrypts.
"""

import logging
import sys
from contextlib import closing

from auth.factors import Factors
from auth.seals import ENCRYPTION_KEY_FORM, Seals
from libs import logs
from libs.database import connect_without_deadline
from libs.settings import MONGO_FORM, parsed

log = logging.getLogger("ops.reencrypt")


def main() -> None:
    """Re-encrypt them, and report those that cannot be decrypted."""
    seals = parsed("AUTH_ENCRYPTION_KEY", Seals, ENCRYPTION_KEY_FORM)
    database = parsed("AUTH_MONGO_URL", connect_without_deadline, MONGO_FORM)
    with closing(database.client):
        renewed, unreadable = Factors(database).reencrypt(seals)
    log.info("%d authenticator apps are encrypted with the newest key", renewed)
    if unreadable:
        sys.exit(f"no key in AUTH_ENCRYPTION_KEY decrypts the apps of these users: {', '.join(unreadable)}")


if __name__ == "__main__":
    logs.run(main)
