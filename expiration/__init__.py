"""expiration: time; says when an order's deadline has come."""
