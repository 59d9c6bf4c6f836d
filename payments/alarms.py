"""What a person has to look at: one line `ALARM <name>: <sentence>` in the log (docs/stripe.md says what to do)."""

import logging

log = logging.getLogger(__name__)


def alarm(name: str, sentence: str) -> None:
    """Say that somebody has to look at something."""
    log.error("ALARM %s: %s", name, sentence)
