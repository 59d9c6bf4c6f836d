"""The order of the checks of a request, and what is refused before any service is called."""

import pytest

MEBIBYTE = 1024 * 1024
NO_OBJECT = "The body must be a JSON object."
NOT_UTF8 = "The body must be UTF-8, without a byte order mark."
TOO_LONG = "A number in the body has too many digits."
UNKNOWN = "0" * 24
GUARDED = [
    ("POST", "/api/tickets"),
    ("PUT", f"/api/tickets/{UNKNOWN}"),
    ("DELETE", f"/api/tickets/{UNKNOWN}"),
    ("GET", "/api/tickets/mine"),
    ("POST", "/api/orders"),
    ("GET", "/api/orders"),
    ("GET", f"/api/orders/{UNKNOWN}"),
    ("DELETE", f"/api/orders/{UNKNOWN}"),
    ("POST", "/api/payments"),
]


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_guarded_call_without_a_session_is_401(client, method, path):
    answer = client.open(path, method=method)

    assert answer.status_code == 401
    assert answer.json == {"errors": [{"message": "Sign in to continue."}]}


def test_body_that_is_not_json_is_415_before_401(client):
    answer = client.post("/api/tickets", data="title=Hamlet", content_type="application/x-www-form-urlencoded")

    assert answer.status_code == 415


def test_large_body_that_is_not_json_is_415(client):
    assert client.post("/api/tickets", data=b"x" * (MEBIBYTE + 1), content_type="text/plain").status_code == 415


def test_large_body_is_413_before_401(client):
    answer = client.post("/api/tickets", data=b"x" * (MEBIBYTE + 1), content_type="application/json")

    assert (answer.status_code, answer.is_json) == (413, True)


def test_session_is_checked_before_the_body_is_read(client):
    assert client.post("/api/tickets", data="{", content_type="application/json").status_code == 401


def test_body_is_checked_before_the_ticket_is_looked_up(ana):
    assert ana.put(f"/api/tickets/{UNKNOWN}", json={"title": ""}).status_code == 400
    assert ana.put(f"/api/tickets/{UNKNOWN}", json={"title": "Hamlet", "price": 5}).status_code == 404


@pytest.mark.parametrize("ident", ["x", "0" * 23, "0" * 25, "%00", "{$ne:1}", "ABCDEF" * 4, "٠" * 24])
def test_malformed_id_is_404_and_no_service_is_called(ana, services, ident):
    calls = len(services.calls)

    answers = [
        ana.get(f"/api/tickets/{ident}"),
        ana.get(f"/api/orders/{ident}"),
        ana.post("/api/orders", json={"ticketId": ident}),
        ana.post("/api/payments", json={"orderId": ident, "token": "tok_visa"}),
        ana.get(f"/tickets/{ident}"),
    ]

    assert [answer.status_code for answer in answers] == [404] * 5
    assert len(services.calls) == calls


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", NO_OBJECT),
        (b"[]", NO_OBJECT),
        (b'"text"', NO_OBJECT),
        (b"null", NO_OBJECT),
        (b"7", NO_OBJECT),
        (b'{"price": NaN}', "NaN and Infinity are not JSON."),
        (b'{"price": -Infinity}', "NaN and Infinity are not JSON."),
        (b'{"price": ' + b"9" * 5000 + b"}", TOO_LONG),
        (b'{"price": 1.' + b"9" * 100 + b"}", TOO_LONG),
        (b'{"price": 1e1000000000000000000}', TOO_LONG),  # an exponent that Decimal does not take
        (b'{"price": 1e-9999999999999999999}', TOO_LONG),
        (b'{"a": ' * 100_000, "The body is nested too deeply."),
        (b"[" * 100_000, "The body is nested too deeply."),
        (b"\xff\xfe", NOT_UTF8),
        (b'{"title": "\xed\xa0\x80"}', NOT_UTF8),
        (
            b'{"title": "Hamlet", "price": 5, "price": 6}',
            "An object in the body has the same name twice, so which value is meant is unknown.",
        ),
        (b'\xef\xbb\xbf{"title": "Hamlet", "price": 5}', NOT_UTF8),
        ('{"title": "Hamlet", "price": 5}'.encode("utf-16"), NOT_UTF8),
    ],
)
def test_body_that_is_not_a_json_object_is_400_and_says_why(ana, body, reason):
    answer = ana.post("/api/tickets", data=body, content_type="application/json")

    assert answer.status_code == 400
    assert answer.json == {"errors": [{"message": reason}]}


def test_missing_body_is_400_and_needs_no_content_type(ana):
    answer = ana.post("/api/tickets")

    assert answer.status_code == 400
    assert [problem["field"] for problem in answer.json["errors"]] == ["title", "price"]


def test_unknown_path_and_wrong_method_are_answered_in_json_under_api(client):
    unknown, wrong = client.get("/api/nothing"), client.delete("/api/users/currentuser")

    assert (unknown.status_code, wrong.status_code) == (404, 405)
    assert "GET" in wrong.headers["Allow"]
    assert unknown.json["errors"] and wrong.json["errors"]


@pytest.mark.parametrize("cookie", ["x", "eyJ0b2tlbiI6IjEifQ.x.y", "." * 3000, "\x00", "..", "eyJ0b2tlbiI6MX0"])
def test_malformed_cookie_is_no_session_and_no_error(client, cookie):
    headers = {"Cookie": f"ticketing-session={cookie}"}

    assert client.get("/api/orders", headers=headers).status_code == 401
    assert client.get("/api/tickets", headers=headers).status_code == 200


def test_repeated_parameter_is_refused(client):
    answer = client.get("/api/tickets?limit=1&limit=2&utm=a&utm=b")

    assert answer.status_code == 400
    assert [problem["field"] for problem in answer.json["errors"]] == ["limit"]


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("/api/users/signin", {"email": "", "password": "x"}, "Enter your email address."),
        ("/api/users/signin", {"email": "x" * 256, "password": "x"}, "Enter at most 255 characters."),
        ("/api/users/signin", {"email": "ana", "password": "x" * 1025}, "Enter at most 1024 characters."),
        (
            "/api/users/signin",
            {"email": "ana", "password": "\ud800"},
            "There is half of a character in this; enter it again.",
        ),
        ("/api/orders", {}, "Give the id of the ticket as ticketId."),
        ("/api/orders", {"ticketId": 7}, "Give the id of the ticket as ticketId."),
        ("/api/orders", {"ticketId": "x" * 256}, "Enter at most 255 characters."),
    ],
)
def test_text_is_refused_for_its_real_cause(ana, path, body, reason):
    answer = ana.post(path, json=body)

    assert (answer.status_code, [error["message"] for error in answer.json["errors"]]) == (400, [reason])
