"""Users over the JSON API."""

import pytest

from libs.rpc import ServiceUnavailable

ANA = {"email": "ana@example.com", "password": "correct horse"}


def test_signing_up_returns_the_user_and_signs_in(client):
    answer = client.post("/api/users/signup", json=ANA)

    assert answer.status_code == 201
    assert set(answer.json) == {"id", "email"}
    assert client.get("/api/users/currentuser").json == {"currentUser": answer.json}


def test_signing_in_returns_the_user(client):
    user = client.post("/api/users/signup", json=ANA).json
    client.post("/api/users/signout")

    answer = client.post("/api/users/signin", json=ANA)

    assert (answer.status_code, answer.json) == (200, user)


def test_current_user_is_null_before_signing_in(client):
    assert client.get("/api/users/currentuser").json == {"currentUser": None}


def test_email_in_use_is_answered_in_these_words(client):
    client.post("/api/users/signup", json=ANA)

    answer = client.post("/api/users/signup", json=ANA)

    assert answer.status_code == 400
    assert answer.json == {"errors": [{"message": "Email in use", "field": "email"}]}


def test_who_may_have_signed_up_is_told_to_sign_in(client, services, monkeypatch):
    ana, sign_up = {"email": "ana@example.com", "password": "ana and a word"}, services.auth_sign_up

    def lose_reply(*arguments, **named):
        sign_up(*arguments, **named)
        raise ServiceUnavailable("auth")

    monkeypatch.setattr(services, "auth_sign_up", lose_reply)
    answer = client.post("/api/users/signup", json=ana)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert answer.json["errors"][0]["message"].startswith("Your account may have been created. Try to sign in;")
    assert client.post("/api/users/signin", json=ana).status_code == 200


def test_wrong_email_and_wrong_password_get_the_same_response(client):
    client.post("/api/users/signup", json=ANA)

    unknown = client.post("/api/users/signin", json=ANA | {"email": "nobody@example.com"})
    wrong = client.post("/api/users/signin", json=ANA | {"password": "wrong"})

    assert unknown.status_code == wrong.status_code == 400
    assert unknown.json == wrong.json


def test_all_errors_of_a_body_are_answered_together(client):
    answer = client.post("/api/users/signup", json={"email": "", "password": "short"})

    assert answer.status_code == 400
    assert [problem["field"] for problem in answer.json["errors"]] == ["email", "password"]


@pytest.mark.parametrize("value", [{"$ne": None}, ["a@example.com"], 7, None, True, "\ud800@example.com"])
def test_only_text_is_an_email(client, value):
    answer = client.post("/api/users/signin", json={"email": value, "password": "correct horse"})

    assert answer.status_code == 400
    assert answer.json["errors"][0]["field"] == "email"


def test_message_of_the_service_explains_why_a_password_is_refused(client):
    answer = client.post("/api/users/signup", json=ANA | {"password": "password"})

    assert answer.json == {"errors": [{"message": "This password is too common.", "field": "password"}]}


def test_too_many_tries_are_answered_with_retry_after(client):
    answer = client.post("/api/users/signin", json=ANA | {"password": "again and again"})

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "30")


def test_signing_out_twice_is_no_error(ana):
    answers = [ana.post("/api/users/signout"), ana.post("/api/users/signout")]

    assert [(answer.status_code, answer.json) for answer in answers] == [(200, {}), (200, {})]
