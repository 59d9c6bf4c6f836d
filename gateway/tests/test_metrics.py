"""What the gateway counts of its requests."""

import pytest
from prometheus_client import REGISTRY, generate_latest

from gateway.settings import check_metrics_folder
from libs.settings import MissingSetting


def value(name, **labels):
    """Return the number of one series, 0 when there is none yet."""
    return REGISTRY.get_sample_value(name, labels) or 0


def test_requests_are_counted_by_route_and_status_and_timed(client):
    route = {"method": "GET", "route": "/api/tickets/<ticket_id>"}
    before = value("http_requests_total", **route, status="404"), value("http_request_seconds_count", **route)

    client.get("/api/tickets/" + "0" * 24)
    client.get("/api/tickets/" + "1" * 24)

    after = value("http_requests_total", **route, status="404"), value("http_request_seconds_count", **route)
    assert [new - old for old, new in zip(before, after, strict=True)] == [2, 2]


def test_unknown_routes_and_methods_are_one_series(client):
    for made_up in ("/no/such", "/neither/this"):
        client.open(made_up, method="FROB")

    shown = generate_latest().decode()

    assert 'method="other",route="unknown"' in shown
    assert "FROB" not in shown and "no/such" not in shown


def test_metrics_are_not_shown_to_the_public(client):
    assert client.get("/metrics").status_code == 404


def test_gateway_whose_metrics_have_no_folder_says_so_instead_of_a_traceback(tmp_path, monkeypatch):
    for folder in (tmp_path / "nowhere", __file__):
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder))

        with pytest.raises(MissingSetting, match="PROMETHEUS_MULTIPROC_DIR is not of the form the path of a folder"):
            check_metrics_folder()
