"""What an operator has at hand in `make shell`, a nameko shell with an operator's key."""
