"""The one error that all libraries know."""


class Unavailable(Exception):
    """Something that the work in hand needs is unreachable: trying again later may help, as nothing else is wrong."""
