"""What `make shell` offers: a nameko shell with an operator's key."""
