from ops import health

OPEN_TO_BROKER = "   0: 0100007F:C350 0200007F:1628 01 00000000:00000000 00:00000000 00000000  1000 0 1 1"
CLOSING = OPEN_TO_BROKER.replace(" 01 ", " 08 ")


def test_open_connection_to_the_port_is_seen():
    assert health.connected(5672, [CLOSING, OPEN_TO_BROKER])


def test_connection_that_is_closing_or_leads_elsewhere_does_not_count():
    assert not health.connected(5672, [CLOSING])
    assert not health.connected(6379, [OPEN_TO_BROKER])
