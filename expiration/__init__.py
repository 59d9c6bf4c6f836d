"""expiration: time; publishes that an order's deadline has come."""
