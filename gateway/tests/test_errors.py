"""How errors are answered."""

import re

import pytest

from gateway.errors import ERRORS, STATUSES
from gateway.tests.conftest import create_test_app
from libs.rpc import RemoteError


@pytest.mark.parametrize("name", ERRORS)
def test_each_named_error_has_its_status_and_message_in_json_and_on_a_page(client, services, name):
    def fail(*_, **__):
        raise RemoteError(name, "The service's own message.")

    services.tickets_list = fail

    answer, page = client.get("/api/tickets"), client.get("/")

    assert answer.status_code == ERRORS[name].status
    assert answer.json["errors"][0]["message"] == (ERRORS[name].message or "The service's own message.")
    assert page.status_code == (303 if ERRORS[name].status == 401 else ERRORS[name].status)


def test_every_status_of_a_named_error_has_a_page_title():
    assert {spec.status for spec in ERRORS.values()} <= set(STATUSES)


@pytest.mark.parametrize(
    "error", [RuntimeError("mongodb://secret"), RemoteError("OperationFailure", "mongodb://secret")]
)
def test_unexpected_error_shows_no_internals(client, services, error):
    def fail(*_, **__):
        raise error

    services.tickets_list = fail

    answer, page = client.get("/api/tickets"), client.get("/")

    assert (answer.status_code, page.status_code) == (500, 500)
    assert "secret" not in answer.text + page.text and "Traceback" not in page.text
    assert page.headers["X-Request-Id"] in page.text and '<a href="/about/contact">tell us</a>' in page.text


def test_unavailable_service_is_503_with_retry_after(client, services):
    services.unavailable.add("tickets")

    answer, page = client.get("/api/tickets"), client.get("/")

    for response in (answer, page):
        assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert answer.is_json and "<h1>" in page.text


@pytest.mark.parametrize(
    ("part", "page", "button"),
    [("orders", "/tickets/{}", "/tickets/{}/buy"), ("auth", "/account", "/account/signout-everywhere")],
)
def test_who_pressed_a_button_in_vain_is_led_back_to_its_page(bo, ticket, services, part, page, button):
    page, button = (path.format(ticket["id"]) for path in (page, button))
    token = re.search('name="csrf_token" value="([^"]+)"', bo.get(page).text)[1]
    services.unavailable.add(part)

    failed = bo.post(button, data={"csrf_token": token})

    assert failed.status_code == 503 and f'<a class="button" href="{page}">Back</a>' in failed.text


@pytest.mark.parametrize(("method", "path"), [("POST", "/nowhere/buy"), ("GET", "/sell/nowhere")])
def test_a_page_that_there_is_not_leads_back_nowhere(ana, method, path):
    answer = ana.open(path, method=method)

    assert answer.status_code == 404 and ">Back<" not in answer.text and ">Try again<" not in answer.text


def test_gateway_is_ready_without_any_one_service_and_tells_strangers_nothing_about_them(client, services):
    services.unavailable |= {"auth", "tickets", "orders", "payments"}

    answer = client.get("/readyz")

    assert (answer.status_code, answer.json) == (200, {"status": "ready"})


def test_gateway_is_alive_but_not_ready_without_the_broker(client, services):
    services.unavailable.add("broker")

    assert (client.get("/readyz").status_code, client.get("/healthz").status_code) == (503, 200)


def test_correlation_id_of_a_client_is_kept_unless_it_is_malformed(client):
    kept = client.get("/healthz", headers={"X-Request-Id": "0123abcd-4567"})
    replaced = client.get("/healthz", headers={"X-Request-Id": "x\ty"})

    assert kept.headers["X-Request-Id"] == "0123abcd-4567"
    assert len(replaced.headers["X-Request-Id"]) == 32


def test_wrong_method_and_large_body_are_answered_with_a_page(ana):
    assert "<h1>" in ana.get("/signout").text
    assert ana.get("/signout").status_code == 405
    assert ana.post("/sell", data={"title": "x" * 2_000_000}).status_code == 413


@pytest.mark.parametrize("path", ["/sell", "/signin", "/theme"])
@pytest.mark.parametrize("form", [b"a=1&" * 20_000, b"%%%" * 25_000])
def test_a_form_that_would_take_long_to_read_is_refused_unread(client, monkeypatch, path, form):
    monkeypatch.setattr("werkzeug.formparser.FormDataParser.parse", pytest.fail)

    refused = client.post(path, data=form, content_type="application/x-www-form-urlencoded")

    assert refused.status_code == 413 and "64 kB for forms" in refused.text


@pytest.mark.parametrize("kind", ["application/json", "text/plain", ""])
def test_body_that_is_not_a_form_is_415_as_a_page_before_other_checks(client, kind):
    answer = client.post("/sell", data=b"x" * 2_000_000, content_type=kind)

    assert (answer.status_code, answer.mimetype) == (415, "text/html")
    assert "A page takes what its form sends" in answer.text
    assert client.post("/sell", data={"title": "Hamlet"}, content_type="multipart/form-data").status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "..", "a..b", f"{'a' * 80}.example"])
def test_untrusted_host_is_400_on_pages_and_in_json(services, revocations, host):
    client = create_test_app(services, revocations, GATEWAY_TRUSTED_HOSTS="localhost").test_client()

    page, answer = (client.get(path, headers={"Host": host}) for path in ("/", "/api/tickets"))

    assert (page.status_code, answer.status_code) == (400, 400)
    assert "another address" in page.text and page.headers["Content-Security-Policy"]
    assert answer.json == {"errors": [{"message": "This site has another address."}]}


def test_load_balancer_that_knows_only_an_address_may_probe_a_gateway_that_answers_to_certain_names(
    services, revocations
):
    client = create_test_app(services, revocations, GATEWAY_TRUSTED_HOSTS=".tickets.example").test_client()

    asked = {
        path: client.get(path, headers={"Host": "10.0.0.7:8000"}).status_code for path in ("/readyz", "/healthz", "/")
    }

    assert asked == {"/readyz": 200, "/healthz": 200, "/": 400}


@pytest.mark.parametrize(("target", "status"), [("GET /nothing", 404), ("GET /signout", 405), ("POST /sell", 403)])
def test_error_page_keeps_its_status_while_the_session_cannot_be_checked(ana, services, target, status):
    method, path = target.split()
    services.unavailable.add("auth")

    answer = ana.open(path, method=method)

    assert answer.status_code == status
    assert "ana@example.com" not in answer.text


@pytest.mark.parametrize("path", ["/api/tickets", "/sell"])
def test_body_that_ends_early_is_400(ana, path):
    class Broken:
        def read(self, *_):
            raise OSError("invalid chunk size")

        readline = readinto = read

    environ = {"wsgi.input": Broken(), "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    kind = "application/json" if path.startswith("/api") else "application/x-www-form-urlencoded"

    answer = ana.post(path, content_type=kind, environ_overrides=environ)

    assert answer.status_code == 400


def test_the_root_of_the_api_answers_in_json(client):
    assert client.get("/api").is_json
