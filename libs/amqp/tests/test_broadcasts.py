import pytest

from libs.amqp.tests.burst import PATCHES, most_handled_at_once


@pytest.mark.parametrize("library", PATCHES)
def test_a_burst_of_events_does_not_hold_up_what_a_process_does_beside_them(amqp_url, library):
    assert most_handled_at_once(library, amqp_url) < 200
