"""Orders and payments as processes of their own, with a fake Stripe in this one; no webhook arrives."""

import json
import os
import secrets
from contextlib import contextmanager, suppress
from datetime import timedelta
from threading import Event, Thread

import pymongo
import stripe
from kombu import Connection

from dev.fake_stripe.testing import PUBLISHABLE_KEY, SECRET_KEY, WEBHOOK_SECRET
from dev.testing import nameko_service, wait_for
from libs.clock import utc_now
from libs.contracts.events import CATALOGUE
from libs.database import connect
from libs.rpc import Client, RemoteError, ServiceUnavailable
from libs.rpc.entrypoint import Responder, encoded_reply
from libs.rpc.topology import calls_queue
from libs.tokens import Signer, new_key
from tests.money.world import World, migrate_both

KEYS = ("auth:1", "orders:1", "payments:1", "gateway:1", "operator:olga")
ANSWERS = {
    "auth.revocations": {"sessions": [], "users": [], "is_all": True},
    "auth.authorize": {"name": "olga", "action": "a1"},
}


def drop(*urls):
    """Delete databases, however long that takes."""
    for url in urls:
        with pymongo.MongoClient(url) as client:
            client.drop_database(client.get_default_database().name)


@contextmanager
def nobody_signs_out(amqp_url):
    """Stand in for auth while the block runs: no session was ended, and olga is an operator."""
    stopping, responder = Event(), Responder(amqp_url)

    def answer(message):
        result = ANSWERS.get(message.delivery_info["routing_key"], False)
        asked = message.properties
        responder.send(asked["reply_to"], asked["correlation_id"], encoded_reply(result, None))
        message.ack()

    def run():
        with (
            Connection(amqp_url) as connection,
            connection.Consumer([calls_queue("auth")], on_message=answer),
        ):
            while not stopping.is_set():
                with suppress(TimeoutError):
                    connection.drain_events(timeout=0.5)

    thread = Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(10)
        responder.close()


class Shop:
    """The two services on one vhost; `world` reads their databases and changes nothing by itself."""

    def __init__(self, servers, amqp_url, fake):
        self.fake, self.amqp_url = fake, amqp_url
        keys = {key.partition(":")[0]: new_key(key) for key in KEYS}
        self.signers = {issuer: Signer(private) for issuer, (private, _) in keys.items()}
        name = f"test_{secrets.token_hex(6)}"
        self.urls = {part: servers.mongo_url(f"{name}_{part}") for part in ("orders", "payments")}
        public = ",".join(public for _, public in keys.values())
        self.common = {"AMQP_URI": amqp_url, "TOKEN_PUBLIC_KEYS": public}
        self.private = {issuer: private for issuer, (private, _) in keys.items()}
        databases = connect(self.urls["payments"]), connect(self.urls["orders"])
        migrate_both(*databases)
        self.world = World(*databases, fake)
        self.client = Client(amqp_url, "gateway", timeout=5)
        with Connection(amqp_url) as connection:
            CATALOGUE.declare(connection.default_channel)  # as the set-up of the broker does

    def drop(self):
        """Close and delete everything."""
        self.client.close()
        self.world.close()
        drop(*self.urls.values())

    def service(self, part, **config):
        """Run one of the two services while the block runs."""
        queue = {"orders": "orders.PaymentCreated", "payments": "payments.OrderCompleted"}[part]
        own = {"MONGO_URL": self.urls[part], "SIGNING_KEY": self.private[part]}
        name = f"{part}.service:{part.capitalize()}Service"
        limits = dict.fromkeys(("UNPAID_RESERVATIONS_PER_BUYER", "UNPAID_RESERVATIONS_PER_HOUR"), 100)
        config |= {"RESERVATION_WINDOW_SECONDS": 900, **limits}
        return nameko_service(name, queue, **self.common, **own, **config)

    @contextmanager
    def payments(self, crash_at=None, **config):
        """Run payments while the block runs; it crashes at the point `crash_at` of payments/crash_points.py."""
        keys = {
            "STRIPE_SECRET_KEY": SECRET_KEY,
            "STRIPE_PUBLISHABLE_KEY": PUBLISHABLE_KEY,
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "STRIPE_API_BASE": self.fake.url,
        }
        os.environ["PAYMENTS_CRASH_AT"] = str(crash_at or "")
        try:
            with self.service("payments", **keys, **config) as process:
                yield process
        finally:
            os.environ.pop("PAYMENTS_CRASH_AT", None)

    def call(self, method, who="bo", timeout=5, **arguments):
        """Call `part.method` as a user, a service or an operator."""
        signer = self.signers.get(who)
        token = signer.mint_call(method) if signer else self.signers["auth"].mint(who, 600)
        part, _, name = method.partition(".")
        return self.client.call(part, name, arguments, token=token, timeout=timeout)

    def reserve(self):
        return self.world.reserve()

    def pay(self, order_id, card="tok_visa", timeout=5):
        return self.call("payments.pay", order_id=order_id, token=card, timeout=timeout)

    def pay_until_answered(self, order_id):
        """Pay, and repeat it while there is no answer, as a person would."""

        def paid():
            with suppress(ServiceUnavailable):
                return self.pay(order_id)

        return wait_for(paid, 30, "payments to answer")

    def send_webhook(self, order_id, kind="payment_intent.amount_capturable_updated"):
        """Send a webhook as Stripe and the gateway would; return whether it was accepted."""
        about = {"object": "payment_intent", "id": self.world.payment(order_id).stripe_id}
        event = {"id": f"evt_{secrets.token_hex(8)}", "type": kind, "livemode": False, "data": {"object": about}}
        body = json.dumps(event)
        signature = stripe.WebhookSignature.generate_signature_header(body, WEBHOOK_SECRET)
        try:
            self.call("payments.receive_webhook", "gateway", payload=body, signature=signature, timeout=2)
        except (ServiceUnavailable, RemoteError):
            return False
        return True

    def wait_for_status(self, order_id, status, seconds=30):
        """Wait until the order has this status."""
        wait_for(lambda: self.world.order(order_id).status == status, seconds, f"order {order_id} to be {status}")

    def faults(self):
        """Return what is wrong with the money once both services are idle."""
        wait_for(self.is_idle, 30, "the outboxes to be empty")
        return list(self.world.faults())

    def is_idle(self):
        """Whether no event waits and all copies of orders in payments are current."""
        payments, orders = self.world.store.payments.collection, self.world.orders.orders.collection
        waiting = [many.count_documents({"outbox.0": {"$exists": True}}) for many in (payments, orders)]
        copies = {found["_id"]: found["order"]["version"] for found in payments.find()}
        return not any(waiting) and all(
            copies.get(one["_id"], one["version"]) == one["version"] for one in orders.find()
        )

    def let_time_pass(self, order_id, by=timedelta(minutes=2)):
        """Move the times of a payment back, so that the reconciler visits it at once."""
        payments = self.world.store.payments.collection
        found = payments.find_one({"_id": order_id})
        names = ("updated_at", "visited_at", "creating_at", "confirming_at")
        payments.update_one({"_id": order_id}, {"$set": {name: found[name] - by for name in names if found[name]}})

    def expire(self, order_id, at=None):
        """Move the order's deadline to now, or into the past."""
        self.world.change(order_id, lambda order: order.expire_now(at or utc_now()))
