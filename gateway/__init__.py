"""The web: cookie sessions, pages, the JSON API and the Stripe webhook; it owns no data."""
