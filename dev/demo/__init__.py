"""Fills a running system with demo data (`python -m dev.demo`), or tries a purchase (`python -m dev.demo.buy`)."""
