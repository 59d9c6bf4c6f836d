from tests.e2e.conftest import (  # noqa: F401 - the same people use the API here
    ana,
    at_rest,
    at_rest_in_the_end,
    bo,
    operator,
    person,
    sessions,
)
