import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from libs.contracts.parts import SERVICES
from libs.providers import Setting
from libs.settings import INTEGER_FORM, MissingSetting, integer, parsed, required

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
    setting = Setting("SECONDS", integer, INTEGER_FORM)
    setting.container = SimpleNamespace(config={"SECONDS": value}, service_name="orders")
    return setting


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many"])
def test_a_service_does_not_start_with_an_integer_setting_that_is_malformed_or_below_one(value):
    number = a_number(value)

    with pytest.raises(MissingSetting, match="SECONDS is not of the form NUMBER, from 1"):
        number.setup()


def test_a_service_has_its_integer_setting():
    number = a_number(900)
    number.setup()

    assert number.get_dependency(None) == 900


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_names_the_variable_that_its_configuration_reads(service):
    read = dict(re.findall(r"^(\w+): \$\{(\w+)", (ROOT / service / "config.yml").read_text(), re.MULTILINE))

    for name, variable in read.items():
        with pytest.raises(MissingSetting, match=f"^{variable} is not set"):
            required(name, {name: ""}, service)
    assert {"AMQP_URI", "MONGO_URL", "SIGNING_KEY", "TOKEN_PUBLIC_KEYS"} <= read.keys()


def test_a_setting_is_returned_as_it_is():
    assert required("NAME", {"NAME": "value"}) == "value"
