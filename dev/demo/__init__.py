"""Fills a running system with a demonstration (`python -m dev.demo`), or tries it out (`python -m dev.demo.buy`)."""
