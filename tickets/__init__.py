"""tickets: the listings, and whether one may be edited."""
