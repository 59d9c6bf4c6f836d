import importlib
from datetime import UTC, datetime

import pytest
from marshmallow import ValidationError

from libs.contracts.events import CATALOGUE
from libs.contracts.parts import SERVICES
from libs.events.handlers import EventHandler


def handlers_of(part):
    module = importlib.import_module(f"{part}.service")
    service = next(value for value in vars(module).values() if getattr(value, "name", None) == part)
    entrypoints = (
        entrypoint for method in vars(service).values() for entrypoint in getattr(method, "nameko_entrypoints", ())
    )
    return {entrypoint.event.name for entrypoint in entrypoints if isinstance(entrypoint, EventHandler)}


@pytest.mark.parametrize("part", SERVICES)
def test_each_part_handles_exactly_what_the_catalogue_says_it_listens_to(part):
    listens = {event.name for event in CATALOGUE.values() if part in event.listeners}

    assert handlers_of(part) == listens


def test_a_body_is_loaded_with_its_times_parsed_and_unknown_fields_left_out():
    body = {"id": "o1", "version": 1, "order_id": "o1", "expires_at": "2026-11-22T12:00:00.000Z", "colour": "red"}

    loaded = CATALOGUE["ExpirationComplete"].load(body)

    assert loaded["expires_at"] == datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert "colour" not in loaded


@pytest.mark.parametrize("version", [0, -1, "1", 1.5, None, True])
def test_a_version_that_is_no_positive_integer_is_refused(version):
    body = {"id": "o1", "version": version, "order_id": "o1", "expires_at": "2026-11-22T12:00:00.000Z"}

    with pytest.raises(ValidationError):
        CATALOGUE["ExpirationComplete"].load(body)
