"""payments: the money; one PaymentIntent at Stripe for each order."""
