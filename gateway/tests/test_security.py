"""Protection of browsers and sessions: CSRF, origins, headers, cookies, revocation."""

import re

import pytest

from gateway.app import create_app
from gateway.security import safe_path
from gateway.tests.fakes import SETTINGS

UNKNOWN = "0" * 24
SAFE = {"GET", "HEAD", "OPTIONS"}


def routes(app, changing):
    """Return (method, path) of every route, with an unknown id."""
    for rule in app.url_map.iter_rules():
        for method in sorted(rule.methods - {"OPTIONS"}):
            if (method not in SAFE) == changing:
                yield method, re.sub("<[a-z]+_id>", UNKNOWN, rule.rule).replace("<version>/<path:name>", "v/style.css")


def test_no_cache_gives_one_visitor_what_it_keeps_of_another(app, ana, client):
    for visitor in (ana, client):
        for path in [path for method, path in routes(app, changing=False) if method == "GET"]:
            answer = visitor.get(path).headers
            kept = answer["Cache-Control"]
            assert kept.startswith("public") or (kept in ("no-store", "no-cache") and "Cookie" in answer["Vary"]), path


def test_every_form_without_its_token_is_refused(app, ana, services):
    forms = [path for method, path in routes(app, changing=True) if not path.startswith("/api/")]
    calls = len(services.calls)

    answers = [ana.post(path, data=data).status_code for path in forms for data in ({}, {"csrf_token": "guess"})]

    assert len(forms) >= 9
    assert set(answers) == {403}
    assert len(services.calls) == calls


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-www-form-urlencoded", b"title=Caf\xe9"),
        ("multipart/form-data", b"--x--"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="title"\r\n\r\nHam'),
    ],
)
def test_form_that_cannot_be_read_is_not_called_too_old(ana, kind, body):
    answer = ana.post("/sell", data=body, content_type=kind)

    assert (answer.status_code, "too old" in answer.text) == (400, False)


def test_token_of_another_session_is_refused(client, ana):
    client.get("/signin")
    with client.session_transaction() as session:
        token = session["csrf"]
    ana.get("/sell")  # so that her session has a token, too

    assert ana.post("/sell", data={"title": "Hamlet", "price": "5", "csrf_token": token}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "https://localhost"},
        {"Origin": "https://localhost:80"},
        {"Origin": "http://localhost:443"},
        {"Origin": "ftp://localhost"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_every_cross_site_change_is_refused(app, ana, services, headers):
    calls = len(services.calls)

    answers = {
        (path, ana.open(path, method=method, headers=headers).status_code)
        for method, path in routes(app, changing=True)
        if not path.startswith("/api/webhooks/")
    }

    assert {status for _, status in answers} == {403}
    assert len(services.calls) == calls


def test_own_origin_passes(client):
    headers = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}

    assert client.post("/api/users/signout", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("settings", "headers", "ours"),
    [
        ({}, {}, "http"),
        ({}, {"X-Forwarded-Proto": "https"}, "http"),  # no proxy is to be believed
        ({"GATEWAY_PROXIES": "1"}, {"X-Forwarded-Proto": "https"}, "https"),
        ({"GATEWAY_PROXIES": "2"}, {"X-Forwarded-Proto": "https, http"}, "https"),
        ({"GATEWAY_PROXIES": "1"}, {"X-Forwarded-Proto": "gopher"}, "http"),
        ({"GATEWAY_PROXIES": "1"}, {}, "http"),
        ({"GATEWAY_PROXIES": "1", "GATEWAY_TLS": "1"}, {}, "https"),
        ({"GATEWAY_TLS": "1"}, {"X-Forwarded-Proto": "http"}, "https"),
    ],
)
def test_page_of_the_same_host_over_the_other_scheme_is_another_site(services, revocations, settings, headers, ours):
    client = create_app(services, SETTINGS | settings, revocations).test_client()

    answers = {
        scheme: client.post("/api/users/signout", headers=headers | {"Origin": f"{scheme}://localhost"}).status_code
        for scheme in ("http", "https")
    }

    assert answers == {"http": 403, "https": 403} | {ours: 200}


def test_operator_who_forgot_to_set_tls_reads_so_in_the_log(client, caplog):
    client.post("/api/users/signout", headers={"Origin": "https://localhost"})

    assert "if browsers connect over TLS, set GATEWAY_TLS=1" in caplog.text


def test_port_that_is_the_default_of_the_scheme_may_be_left_out(services, revocations):
    client = create_app(services, SETTINGS | {"GATEWAY_TLS": "1"}, revocations).test_client()

    for host, origin in (("localhost:443", "https://localhost"), ("localhost", "https://LOCALHOST:443")):
        headers = {"Host": host, "Origin": origin}
        assert client.post("/api/users/signout", headers=headers).status_code == 200


def test_every_answer_carries_the_security_headers(app, client):
    for method, path in [*routes(app, changing=False), *routes(app, changing=True), ("GET", "/no/such/page")]:
        with client.open(path, method=method) as answer:
            headers = answer.headers
        assert "default-src 'none'" in headers["Content-Security-Policy"], path
        assert "unsafe" not in headers["Content-Security-Policy"]
        for directive in ("object-src", "base-uri", "frame-ancestors"):
            assert f"{directive} 'none'" in headers["Content-Security-Policy"], path
        assert not [name for name, _ in headers if name.startswith("Access-Control-")]
        assert "charset=utf-8" in headers["Content-Type"] or not headers["Content-Type"].startswith("text/"), path
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["X-Request-Id"]


def test_pages_use_nothing_that_the_policy_forbids(ana):
    for path in ("/", "/sell", "/selling", "/my/tickets"):
        page = ana.get(path).text
        assert "style=" not in page and "<style" not in page and "onclick" not in page
        loaded = re.findall(r'(?:src|action|use href|link rel="(?!canonical)[^>]*href)="([^"]+)"', page)
        assert len(loaded) > 5 and [url for url in loaded if not re.match("/(?!/)", url)] == []


def test_private_pages_are_never_cached(ana, client, ticket):
    private = [ana.get(path) for path in ("/", "/sell", "/my/tickets", "/api/orders", f"/tickets/{ticket['id']}")]

    assert {answer.headers["Cache-Control"] for answer in private} == {"no-store"}
    assert client.get("/").headers["Cache-Control"] == "public, max-age=1"
    assert "Set-Cookie" not in client.get("/").headers


def test_session_cookie_is_out_of_reach_of_scripts_and_other_sites(client):
    answer = client.post("/api/users/signup", json={"email": "ana@example.com", "password": "correct horse"})

    cookie = answer.headers["Set-Cookie"]

    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/" in cookie and "Domain" not in cookie


def test_session_cookie_is_bound_to_the_host_under_tls(services, revocations):
    client = create_app(services, SETTINGS | {"GATEWAY_TLS": "1"}, revocations).test_client()

    answer = client.post("/api/users/signup", json={"email": "ana@example.com", "password": "correct horse"})

    assert answer.headers["Set-Cookie"].startswith("__Host-ticketing-session=")
    assert "Secure" in answer.headers["Set-Cookie"]
    assert "max-age=31536000" in answer.headers["Strict-Transport-Security"]


def test_stolen_cookie_is_worthless_after_signing_out(app, ana):
    stolen = ana.get_cookie("ticketing-session").value
    ana.post("/api/users/signout")
    thief = app.test_client()
    thief.set_cookie("ticketing-session", stolen)

    assert thief.get("/api/orders").status_code == 401
    assert thief.get("/api/users/currentuser").json == {"currentUser": None}


def test_session_revoked_elsewhere_is_refused(ana, app, services):
    with ana.session_transaction() as session:
        claims = app.extensions["verifier"].verify(session["token"])
    services.revoked.add(claims.session_id)

    assert ana.get("/api/orders").status_code == 401
    assert ana.get("/my/tickets").headers["Location"].startswith("/signin?next=")


def test_token_of_a_service_is_no_session(client, app):
    with client.session_transaction() as session:
        session["token"] = app.extensions["services"]._signer.mint_service("auth")

    assert client.get("/api/orders").status_code == 401


def test_nothing_private_opens_while_the_session_cannot_be_checked(ana, services):
    services.unavailable.add("auth")

    answers = [ana.get(path) for path in ("/api/orders", "/my/tickets", "/sell", "/api/users/currentuser")]

    assert [answer.status_code for answer in answers] == [503] * 4


def test_signing_in_clears_the_earlier_session(client):
    client.get("/signin")
    before = client.get_cookie("ticketing-session").value
    client.submit("/signup", email="ana@example.com", password="correct horse")

    with client.session_transaction() as session:
        assert set(session) == {"token", "used_at", "_permanent", "_flashes"}
    assert client.get_cookie("ticketing-session").value != before


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil", "/\t/evil.example", "evil", "", None],
)
def test_next_never_leads_to_another_site(target):
    assert safe_path(target) is None


def test_next_leads_to_a_path_of_this_site():
    assert safe_path("/tickets/1?q=a&b=%2F") == "/tickets/1?q=a&b=%2F"


@pytest.mark.parametrize("name", ["GATEWAY_SECRET_KEY", "GATEWAY_AMQP_URL", "GATEWAY_SIGNING_KEY", "TOKEN_PUBLIC_KEYS"])
@pytest.mark.parametrize("value", ["", "changeme", None])
def test_gateway_does_not_start_without_its_secrets(name, value):
    with pytest.raises(SystemExit, match=name):
        create_app(settings=SETTINGS | {name: value})


LIVE = {
    "STRIPE_PUBLISHABLE_KEY": "pk_live_1",
    "STRIPE_API_BASE": "",
    "GATEWAY_TLS": "1",
    "GATEWAY_TRUSTED_HOSTS": "tickets.example",
}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("GATEWAY_TLS", "", "GATEWAY_TLS is not set, while Stripe's keys are live"),
        ("GATEWAY_TLS", "0", "GATEWAY_TLS is not set"),
        ("GATEWAY_TRUSTED_HOSTS", "", "GATEWAY_TRUSTED_HOSTS is not set"),
        ("STRIPE_API_BASE", "http://127.0.0.1:12111", "STRIPE_API_BASE is the address of a fake Stripe"),
    ],
)
def test_nobody_is_really_charged_by_a_site_that_others_can_read_or_forge(services, revocations, name, value, said):
    assert create_app(services, SETTINGS | LIVE, revocations)
    with pytest.raises(SystemExit, match=said):
        create_app(services, SETTINGS | LIVE | {name: value}, revocations)


def test_test_key_with_live_in_its_name_is_no_live_key(services, revocations):
    assert create_app(services, SETTINGS | {"STRIPE_PUBLISHABLE_KEY": "pk_test_a_live_b"}, revocations)


def test_gateway_does_not_start_with_a_short_secret_key():
    with pytest.raises(SystemExit, match="GATEWAY_SECRET_KEY"):
        create_app(settings=SETTINGS | {"GATEWAY_SECRET_KEY": "short"})
