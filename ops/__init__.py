"""Operators' programs: their shell, the health probe, the set-up of broker and databases. No part imports it."""
