"""Developers' programs: the local stack, the fake Stripe, the demo, benchmarks. Nothing in production imports it."""
