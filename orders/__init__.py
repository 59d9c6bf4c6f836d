"""orders: who gets which ticket; the only authority on reservations."""
