"""What the parts agree on: the events and their bodies, the names of the parts."""
