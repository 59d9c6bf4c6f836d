"""The shell of `make shell`: a nameko shell with an operator's key."""
