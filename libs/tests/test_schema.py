"""Migrations on a real MongoDB: long builds, several at once, data that forbid an index."""

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
from pymongo import ASCENDING, IndexModel
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from dev.testing import wait_for
from libs import database
from libs.schema import MigrationFailed, MissingIndexes, Schema, check, migrate, missing

ONE_NAME = IndexModel([("name", ASCENDING)], unique=True)
BY_GRAIN = IndexModel([("grain", ASCENDING)])
SCHEMA = Schema({"loaves": [ONE_NAME, BY_GRAIN]})


def indexes(mongo):
    return sorted(each["name"] for each in mongo.loaves.list_indexes())


@contextmanager
def locked(mongo):
    """Keep every index build on the loaves from its beginning or end, by a transaction that goes on."""
    with mongo.client.start_session() as session, session.start_transaction():
        mongo.loaves.insert_one({"name": "in a transaction"}, session=session)
        yield


def test_a_service_without_a_unique_index_refuses_to_start_and_names_the_command(mongo):
    mongo.loaves.create_indexes([BY_GRAIN])

    with pytest.raises(MissingIndexes, match="oven does not start") as refusal:
        check(mongo, SCHEMA, "oven")

    assert str(refusal.value).endswith("the unique index on name of loaves. Run `python -m ops.migrate` first.")


def test_a_service_without_another_index_warns_and_starts(mongo, caplog):
    mongo.loaves.create_indexes([ONE_NAME])

    with caplog.at_level(logging.WARNING):
        check(mongo, SCHEMA, "oven")

    assert "the index on grain of loaves is missing" in caplog.text


def test_an_index_that_is_not_unique_is_none_that_is(mongo):
    mongo.loaves.create_index("name")

    assert missing(mongo, SCHEMA) == [("loaves", ONE_NAME), ("loaves", BY_GRAIN)]


def test_a_service_does_not_start_while_its_unique_index_is_being_built(mongo):
    """MongoDB lists an index from the beginning of its build, and enforces it from its end."""
    mongo.loaves.insert_many({"tags": list(range(number * 1000, number * 1000 + 1000))} for number in range(200))
    slow = Schema({"loaves": [IndexModel([("tags", ASCENDING)], unique=True)]})

    with ThreadPoolExecutor(1) as pool:
        building = pool.submit(migrate, mongo, slow)
        wait_for(lambda: "tags_1" in indexes(mongo))
        with locked(mongo), pytest.raises(MissingIndexes):
            check(mongo, slow, "oven")
        building.result(30)
    check(mongo, slow, "oven")


def test_an_index_is_built_however_long_that_takes(mongo, mongo_url, monkeypatch):
    monkeypatch.setattr(database, "TIMEOUT_SECONDS", 0.3)
    mongo.loaves.insert_one({"name": "rye"})

    with (
        closing(database.connect(mongo_url).client) as hasty,
        closing(database.connect_without_deadline(mongo_url).client) as patient,
        ThreadPoolExecutor(1) as pool,
    ):
        with locked(mongo):
            building = pool.submit(migrate, patient.get_default_database(), SCHEMA)
            with pytest.raises((PyMongoError, MigrationFailed)):
                migrate(hasty.get_default_database(), SCHEMA)
        assert len(building.result(30)) == 2
        check(hasty.get_default_database(), SCHEMA, "oven")


def test_an_index_that_mongodb_reports_as_built_but_did_not_build_is_built(mongo, monkeypatch):
    """MongoDB does so if it found another client's build of the same index, which is then interrupted."""
    create_indexes = Collection.create_indexes
    interrupted = iter([True, False])
    monkeypatch.setattr(Collection, "create_indexes", lambda *args: next(interrupted) or create_indexes(*args))

    assert len(migrate(mongo, SCHEMA)) == 2
    assert indexes(mongo) == ["_id_", "grain_1", "name_1"]


def test_a_migration_does_not_report_an_index_that_is_never_built(mongo, monkeypatch):
    monkeypatch.setattr(Collection, "create_indexes", lambda *_: None)
    monkeypatch.setattr("libs.schema.PAUSES", (0.0, 0.0))

    with pytest.raises(MigrationFailed, match="the unique index on name of loaves, and the index on grain of loaves"):
        migrate(mongo, SCHEMA)


def test_two_migrations_at_once_do_what_one_does(mongo):
    mongo.loaves.insert_many({"name": f"loaf {number}"} for number in range(100))

    with ThreadPoolExecutor(4) as pool:
        with locked(mongo):
            running = [pool.submit(migrate, mongo, SCHEMA) for _ in range(4)]
        [each.result(30) for each in running]

    assert indexes(mongo) == ["_id_", "grain_1", "name_1"]
    assert migrate(mongo, SCHEMA) == []


def test_data_that_forbid_an_index_are_named_and_left_as_they_are(mongo):
    mongo.loaves.insert_many([{"name": "rye"}, {"name": "rye"}])

    with pytest.raises(MigrationFailed, match=r"an index of loaves cannot be built: .* index: name_1 dup key.*rye"):
        migrate(mongo, SCHEMA)

    assert mongo.loaves.count_documents({}) == 2


def test_steps_change_what_is_left_to_change_and_are_reported(mongo):
    def call_rye_dark(db):
        return db.loaves.update_many({"grain": "rye"}, {"$set": {"grain": "dark"}}).modified_count

    mongo.loaves.insert_many([{"name": "a", "grain": "rye"}, {"name": "b"}])
    schema = Schema({}, [call_rye_dark])

    assert [migrate(mongo, schema), migrate(mongo, schema)] == [["call rye dark: 1"], []]
