"""What operators run: their shell, the health probe, the set-up of broker and database. No part imports it."""
