"""The requests of a buyer's browser to Stripe, without our services."""

CARD_OF_THE_BROWSER = "pm_card_visa"


def confirm(world, fake, order_id, card=CARD_OF_THE_BROWSER):
    """Confirm the card form that payments opened for this order."""
    secret = world.checkout.open_form(order_id, "bo")["client_secret"]
    stripe_id = secret.partition("_secret")[0]
    fake.client().v1.payment_intents.confirm(stripe_id, {"payment_method": card})


def paid_in_the_browser(world, fake):
    """Return the id of an order whose card is authorized, which payments has not read yet."""
    order_id = world.reserve()
    confirm(world, fake, order_id)
    return order_id
