"""What Prometheus reads."""

import re


def value(client, name, **labels):
    """Return the number of one series, 0 when there is none yet."""
    wanted = [f'{key}="{label}"' for key, label in labels.items()]
    lines = [line for line in client.get("/metrics").text.split("\n") if re.match(rf"{name}\b", line)]
    return next((float(line.split()[-1]) for line in lines if all(label in line for label in wanted)), 0)


def test_requests_are_counted_by_route_and_status(client):
    labels = {"method": "GET", "route": "/api/tickets/<ticket_id>", "status": 404}
    before = value(client, "http_requests_total", **labels)

    client.get("/api/tickets/" + "0" * 24)
    client.get("/api/tickets/" + "1" * 24)

    assert value(client, "http_requests_total", **labels) == before + 2


def test_unknown_routes_and_methods_are_one_series(client):
    for made_up in ("/no/such", "/neither/this"):
        client.open(made_up, method="FROB")

    shown = client.get("/metrics").text

    assert 'method="other",route="unknown"' in shown
    assert "FROB" not in shown and "no/such" not in shown


def test_calls_of_services_are_measured_by_their_outcome(client, services):
    labels = {"method": "tickets.list", "outcome": "unavailable"}
    before = value(client, "rpc_call_seconds_count", **labels)
    services.away.add("tickets")

    client.get("/api/tickets")

    assert value(client, "rpc_call_seconds_count", **labels) == before + 1
    assert value(client, "http_request_seconds_count", method="GET", route="/api/tickets") >= 1
