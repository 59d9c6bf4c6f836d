"""What several parts share and what is nobody's business rule."""
