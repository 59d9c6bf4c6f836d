from tests.e2e.conftest import ana, at_rest, bo, operator, person, sessions  # noqa: F401 - the same people use the API here
