"""The service's dependency: its store, and all that moves or compares money, built once per process."""

from typing import Any

from libs.contracts.events import CATALOGUE
from libs.contracts.stripe_keys import PUBLISHABLE_KEY, SECRET_KEY, WEBHOOK_SECRET, check_base, is_live
from libs.events import StoreProvider
from libs.settings import URL_FORM, MissingSetting, optional, parsed, web_url
from payments.audit import Audit
from payments.card_provider import CardProvider
from payments.checkout import Checkout
from payments.outcomes import Outcomes
from payments.reconciler import Reconciler
from payments.settlement import Settlement
from payments.store import PaymentStore
from payments.webhooks import WebhookReader


class PaymentsProvider(StoreProvider):
    """Gives the service `store`, `settlement`, `checkout`, `reconciler`, `outcomes`, `audit` and `webhooks`.

    Needs what StoreProvider needs, STRIPE_SECRET_KEY, STRIPE_PUBLISHABLE_KEY and STRIPE_WEBHOOK_SECRET (several,
    separated by commas, during a rotation); STRIPE_API_BASE names a fake Stripe.
    """

    def __init__(self) -> None:
        super().__init__(PaymentStore, CATALOGUE)

    def setup(self) -> None:
        """Read the keys, open the database, and build everything; stop the start when a setting is missing."""
        config = self.container.config
        secret_key = parsed("STRIPE_SECRET_KEY", *SECRET_KEY, config)
        publishable_key = parsed("STRIPE_PUBLISHABLE_KEY", *PUBLISHABLE_KEY, config)
        if is_live(secret_key) != is_live(publishable_key):
            raise MissingSetting("STRIPE_PUBLISHABLE_KEY", "of the other mode, live or test, than STRIPE_SECRET_KEY")
        base = optional("STRIPE_API_BASE", None, web_url, URL_FORM, config)
        check_base(base, secret_key)
        self.webhooks = webhook_reader(config)
        super().setup()
        self.settlement = Settlement(self.store, CardProvider(secret_key, base))
        self.checkout = Checkout(self.settlement, publishable_key)
        self.reconciler = Reconciler(self.settlement)
        self.outcomes = Outcomes(self.settlement)
        self.audit = Audit(self.settlement)

    def get_dependency(self, worker_ctx: Any) -> "PaymentsProvider":
        """Return this: nothing in it belongs to one call."""
        return self


def webhook_reader(config: dict[str, Any]) -> WebhookReader:
    """Return the reader of webhooks in our key's mode, live or test."""
    secret_key = parsed("STRIPE_SECRET_KEY", *SECRET_KEY, config)
    return WebhookReader(parsed("STRIPE_WEBHOOK_SECRET", *WEBHOOK_SECRET, config), is_live(secret_key))
