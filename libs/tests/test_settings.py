import re
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import certifi
import pytest
import yaml

from libs.contracts.parts import SERVICES
from libs.database import connect, for_stale_reads
from libs.providers import Setting
from libs.redis import connect as redis_address
from libs.service import read_environment
from libs.settings import (
    MissingSetting,
    address,
    amqp_url,
    between,
    certificates,
    check_common,
    choice,
    flag,
    parsed,
    public_url,
    required,
    web_url,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("value", [None, "", "  ", "changeme", "SECRET", "${NAME}", "auth:1=Change-Me", "<key>"])
def test_a_missing_empty_or_placeholder_setting_stops_the_start(value):
    with pytest.raises(MissingSetting, match="NAME is"):
        required("NAME", {"NAME": value})


def test_a_placeholder_inside_an_address_stops_the_start():
    with pytest.raises(MissingSetting, match="NAME is still a placeholder"):
        required("NAME", {"NAME": "amqp://orders:changeme@rabbitmq:5672/"})


def test_a_malformed_setting_stops_the_start_and_says_why():
    with pytest.raises(MissingSetting, match="NAME is not of the form 7: set it in the environment"):
        parsed("NAME", int, "7", {"NAME": "seven"})


def a_number(value):
    setting = Setting("SECONDS", *between(1, 1000))
    setting.container = SimpleNamespace(config={"SECONDS": value}, service_name="orders")
    return setting


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "1001", "1_0", "٣"])
def test_a_service_does_not_start_with_an_integer_setting_that_is_malformed_or_out_of_bounds(value):
    number = a_number(value)

    with pytest.raises(MissingSetting, match="SECONDS is not of the form NUMBER, from 1 to 1000"):
        number.setup()


def test_a_service_has_its_integer_setting():
    number = a_number(900)
    number.setup()

    assert number.get_dependency(None) == 900


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_names_the_variable_that_its_configuration_reads(service):
    read = dict(
        re.findall(r"^(\w+): !raw_env_var \$\{(\w+)", (ROOT / service / "config.yml").read_text(), re.MULTILINE)
    )

    for name, variable in read.items():
        with pytest.raises(MissingSetting, match=f"^{variable} is not set"):
            required(name, {name: ""}, service)
    assert {"AMQP_URI", "MONGO_URL", "SIGNING_KEY", "TOKEN_PUBLIC_KEYS"} <= read.keys()


@pytest.mark.parametrize("typed", ["0100", "15:00", "1_000", "0x384", "~", "[900]", "yes"])
def test_what_an_operator_typed_is_not_taken_for_another_number(monkeypatch, typed):
    monkeypatch.setattr(yaml, "SafeLoader", type("SafeLoader", (yaml.SafeLoader,), {}))  # which it changes
    read_environment()
    monkeypatch.setenv("RESERVATION_WINDOW_SECONDS", typed)  # which YAML itself reads as 64, 900, 1000...

    config = yaml.safe_load((ROOT / "orders/config.yml").read_text())

    assert config["RESERVATION_WINDOW_SECONDS"] == typed
    assert takes(between(1, 86_400)[0], typed) == typed.isdigit()


def test_no_setting_of_a_service_is_read_as_yaml():
    values = [line for path in ROOT.glob("*/config.yml") for line in path.read_text().splitlines() if "${" in line]

    assert [line for line in values if "!raw_env_var" not in line] == []


def test_a_setting_is_returned_as_it_is():
    assert required("NAME", {"NAME": "value"}) == "value"


@pytest.mark.parametrize(
    ("parse", "good", "bad"),
    [
        (
            amqp_url,
            ["amqp://a:b@rabbitmq:5672/", "amqps://a:b@mq-1.example:5671/v;amqps://a:b@[::1]:5671/v", "amqp://127.0.0.1//"],
            ["rabbitmq:5672", "http://a:b@rabbitmq:5672/", "amqp://", "amqp://a:b@rabbitmq:port/", "amqp://h:0/",
             "amqp://h:65536/", "amqp://two words/", "amqp://h/;redis://h/", "amqp://h/;", "amqp://h:/", "AMQPS://h/",
             "amqp://h/;amqps://h/", "amqp://a:b?c@h/", "amqp://h/?heartbeat=x", "amqp://h/#", "://h/"],
        ),
        (
            web_url,
            ["http://127.0.0.1:12111", "https://api.stripe.com/", "http://fake-stripe:12111"],
            ["127.0.0.1:12111", "ftp://stripe", "http://", "http://h/v1", "http://h?x=1", "http://h?", "http://h#x",
             "http://a:b@h", "http://h:"],
        ),
        (
            address,
            ["127.0.0.1", "10.0.0.7", "::", "localhost", "Tickets.Example"],
            ["", "one two", "256.0.0.1", "http://localhost", "localhost:80", "-x", "a..b"],
        ),
        (flag, ["1", "0"], ["yes", "true", "2", ""]),
        (between(0, 10)[0], ["0", "10", " 7 "], ["-1", "11", "1.0", "1e1", "", "٣"]),
        (choice("INFO", "DEBUG")[0], ["info", "Debug", " INFO "], ["loud", ""]),
        (
            redis_address,
            ["redis://a:b@redis:6379/", "rediss://redis/1", "redis+sentinel://a:b@s-1:26379,s-2,[::1]:26379/main/",
             "rediss+sentinel://a:b@s-1/main/3"],
            ["http://redis/", "redis+sentinel://a:b@s-1,s-2/", "redis+sentinel://a:b@,s-2/main", "redis+sentinel:///main",
             "redis+sentinel://s-1/main/x", "redis+sentinel://s-1/main?db=1", "redis+sentinel://s-1:port/main"],
        ),
        (certificates, [certifi.where()], ["/nobody/has/this.pem", str(ROOT), __file__]),
    ],
    ids=["amqp", "web", "address", "flag", "number", "choice", "redis", "certificates"],
)  # fmt: skip
def test_a_form_takes_what_it_says_and_nothing_else(parse, good, bad):
    assert [text for text in good if not takes(parse, text)] == []
    assert [text for text in bad if takes(parse, text)] == []


@pytest.mark.parametrize("url", ["", "orders?replicaSte=rs0", "orders?tls=maybe"])
def test_an_address_of_mongodb_that_would_be_read_in_part_is_refused(url):
    assert not takes(connect, f"mongodb://127.0.0.1:1/{url}")


def test_no_address_lets_a_service_decide_on_what_a_member_that_is_behind_says():
    database = connect("mongodb://127.0.0.1:1/orders?readPreference=secondary&w=1")
    with closing(database.client):
        assert (database.read_preference.name, database.write_concern.document["w"]) == ("Primary", "majority")


def test_a_member_that_is_behind_answers_only_where_nothing_is_decided(monkeypatch):
    monkeypatch.setenv("MONGO_READ_PREFERENCE", "secondaryPreferred")
    monkeypatch.setenv("MONGO_WRITE_CONCERN", "twoCentres")
    database = connect("mongodb://127.0.0.1:1,127.0.0.1:2/orders?replicaSet=rs0")
    with closing(database.client):
        assert (database.read_preference.name, database.write_concern.document["w"]) == ("Primary", "twoCentres")
        assert for_stale_reads(database.orders).read_preference.name == "SecondaryPreferred"


def takes(parse, text):
    try:
        parse(text)
    except ValueError:
        return False
    return True


def test_settings_are_normalised():
    assert choice("INFO", "DEBUG")[0]("info") == "INFO"
    assert web_url("https://api.stripe.com/") == "https://api.stripe.com"
    assert address("[::1]") == "::1"
    assert required("NAME", {"NAME": " value\n"}) == "value"


@pytest.mark.parametrize(("name", "value"), [("LOG_LEVEL", "LOUD"), ("QUEUE_TYPE", "mirrored"), ("METRICS_PORT", "0")])
def test_a_malformed_setting_of_every_program_stops_the_start_with_a_sentence(monkeypatch, name, value):
    monkeypatch.setenv(name, value)

    with pytest.raises(MissingSetting, match=f"^{name} is not of the form .*: set it in the environment"):
        check_common()


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://tickets.example:443", "https://tickets.example"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("https://Tickets.example:8443/", "https://tickets.example:8443"),
    ],
)
def test_page_compares_the_address_of_the_site_as_browsers_say_it(url, origin):
    assert public_url(url) == origin
