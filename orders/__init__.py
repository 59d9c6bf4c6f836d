"""orders: reservations and orders; the only authority on who gets a ticket."""
