"""The one error that all libraries know."""


class Unavailable(Exception):
    """Something that the current work needs is unreachable; nothing else is wrong, so a later retry may help."""
