"""The web: cookie sessions, pages, the JSON API and the Stripe webhook; it holds no truth of its own."""
