"""What several parts share, without any business rule."""
