"""A small application that stands on `libs.events` and `libs.amqp` alone: an oven, and labels for its loaves."""
