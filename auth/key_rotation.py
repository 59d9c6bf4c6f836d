"""Logs at the start of auth which of its keys are not those of its last start."""

from contextlib import closing

from nameko.extensions import DependencyProvider

from auth.known_keys import record_public_keys, record_secret_keys
from libs.database import connect
from libs.errors import ignoring_unavailable
from libs.fingerprints import fingerprint
from libs.settings import KEY_FORM, MONGO_FORM, parsed, required
from libs.tokens import Verifier


class KeyRotation(DependencyProvider):
    """Logs at the start which keys of TOKEN_PUBLIC_KEYS and ENCRYPTION_KEY are new, and which are gone.

    Needs MONGO_URL too.
    """

    def setup(self) -> None:
        """Read the settings."""
        config, service = self.container.config, self.container.service_name
        self.database = parsed("MONGO_URL", connect, MONGO_FORM, config, service)
        self.verifier = parsed("TOKEN_PUBLIC_KEYS", Verifier, KEY_FORM, config)
        self.encryption_keys = required("ENCRYPTION_KEY", config, service).split(",")

    def start(self) -> None:
        """Compare with the keys at the last start of any instance; without the database, the next start will."""
        with closing(self.database.client), ignoring_unavailable():
            record_public_keys(self.database, self.verifier.public_keys)
            used = [fingerprint(key.strip()) for key in self.encryption_keys]
            record_secret_keys(self.database, "auth", "AUTH_ENCRYPTION_KEY", used)
