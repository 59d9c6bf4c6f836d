import pytest

from libs.settings import MissingSetting, parsed, required, variable


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


def test_a_service_names_the_variable_that_its_configuration_reads():
    command = ["nameko", "run", "--config", "auth/config.yml", "auth.service"]

    assert variable("SIGNING_KEY", command) == "AUTH_SIGNING_KEY"
    assert variable("SIGNING_KEY", ["nameko", "run"]) == "SIGNING_KEY"


def test_a_setting_is_returned_as_it_is():
    assert required("NAME", {"NAME": "value"}) == "value"
