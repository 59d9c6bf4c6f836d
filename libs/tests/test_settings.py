import pytest

from libs.settings import MissingSetting, required


@pytest.mark.parametrize("value", [None, "", "  ", "changeme", "SECRET", "${NAME}"])
def test_a_missing_empty_or_placeholder_setting_stops_the_start(value):
    with pytest.raises(MissingSetting, match="NAME is"):
        required("NAME", {"NAME": value})


def test_a_setting_is_returned_as_it_is():
    assert required("NAME", {"NAME": "value"}) == "value"
