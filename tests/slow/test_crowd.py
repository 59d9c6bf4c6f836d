"""Searches for what is rare among ten times as many tickets as a page looks at."""

import pytest

from tickets import store
from tickets.tests.test_store import RARE, assert_found_at_a_bounded_cost, crowd_of


@pytest.fixture(scope="module")
def crowd(servers):
    yield from crowd_of(servers, 10 * sum(store.EXAMINED))


@pytest.mark.parametrize("question", RARE)
def test_what_is_rare_among_twenty_thousand_tickets_is_found_at_a_bounded_cost(crowd, question):
    assert_found_at_a_bounded_cost(crowd, *question)
