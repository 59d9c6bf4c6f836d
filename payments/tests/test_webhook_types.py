import re
from pathlib import Path

import stripe

from libs.contracts.stripe_webhooks import SUBSCRIBED_TYPES

ROOT = Path(__file__).parents[2]


def test_the_documented_types_are_those_that_are_handled():
    listed = (ROOT / "docs/stripe.md").read_text().partition("## Webhooks")[2].partition("Other types")[0]

    assert set(re.findall(r"(?:payment_intent|charge|refund)\.[a-z_.]+[a-z]", listed)) == SUBSCRIBED_TYPES


def test_stripe_has_every_type_that_is_handled():
    events = Path(stripe.__file__).with_name("_event.py").read_text()

    assert [kind for kind in SUBSCRIBED_TYPES if f'"{kind}"' not in events] == []
