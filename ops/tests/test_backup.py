import json
from itertools import count

import pytest
from bson import Decimal128, ObjectId

from dev.testing import ROOT, repeating
from libs.schema import migrate, missing
from ops import backup, restore
from orders.store import OrderStore

HOME, AWAY = "_home", "_away"


@pytest.fixture
def databases(mongo):
    """Two databases that belong together, as those of two services do."""
    pair = [mongo.client[mongo.name + suffix] for suffix in (HOME, AWAY)]
    yield pair
    for database in pair:
        mongo.client.drop_database(database.name)


@pytest.fixture
def site(databases):
    """What backup and restore take, apart from the folder: the server, and which databases they see."""
    names = [database.name for database in databases]
    return databases[0].client, names.__contains__


def make(site, folder):
    return backup.make(site[0], folder, site[1])


def put_back(site, path, replace=False):
    return restore.restore(site[0], path, replace, site[1])


def documents(database):
    return {name: list(database[name].find(sort=[("_id", 1)])) for name in sorted(database.list_collection_names())}


def test_restored_databases_have_the_documents_indexes_and_validators_that_they_had(site, databases, tmp_path):
    home, away = databases
    migrate(home, OrderStore.schema)
    home.orders.insert_many(
        {"_id": f"o{n}", "ticket_id": f"t{n}", "reservation_no": n, "of": [ObjectId(), Decimal128("1.5")]}
        for n in range(2500)
    )
    away.create_collection("checked", validator={"price": {"$gt": 0}}, collation={"locale": "de"})
    away.checked.insert_one({"price": 3})
    before = [documents(database) for database in databases]
    options = {each["name"]: each["options"] for each in away.list_collections()}

    path = make(site, tmp_path)
    home.orders.delete_many({})
    away.later.insert_one({})
    put_back(site, path, replace=True)

    assert [documents(database) for database in databases] == before
    assert missing(home, OrderStore.schema) == []
    assert {each["name"]: each["options"] for each in away.list_collections()} == options


def test_backup_is_of_one_moment_while_the_site_goes_on(site, databases, tmp_path):
    home, away = databases
    home.large.insert_many({"_id": n, "text": "x" * 10_000} for n in range(1000))
    home.orders.insert_one({"_id": 0})
    away.orders.insert_one({"_id": 0})
    numbers = count(1)

    def write():
        number = next(numbers)
        home.orders.insert_one({"_id": number})
        away.orders.insert_one({"_id": number})  # never one that home does not have

    with repeating([write]):
        path = make(site, tmp_path)
    put_back(site, path, replace=True)

    at_home, out = home.orders.count_documents({}), away.orders.count_documents({})
    assert at_home - out in (0, 1) and at_home < next(numbers)


def test_backup_is_not_restored_over_documents_unless_one_says_so(site, databases, tmp_path):
    databases[0].users.insert_one({"_id": "ana"})
    path = make(site, tmp_path)
    databases[0].users.delete_many({})
    databases[1].users.insert_one({"_id": "bo"})

    with pytest.raises(restore.NotEmpty, match="_away.users has documents"):
        put_back(site, path)

    assert databases[0].users.find_one() is None
    put_back(site, path, replace=True)
    assert databases[0].users.find_one() == {"_id": "ana"} and databases[1].users.find_one() is None


def damage_file(path):
    (file,) = path.glob("*.users.bson.gz")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut_file(path):
    (file,) = path.glob("*.users.bson.gz")
    file.write_bytes(file.read_bytes()[:-20])


def write_an_error_message(path):
    (file,) = path.glob("*.users.bson.gz")
    file.write_text("Failed: can't create session: connection refused")


def lose_file(path):
    next(path.glob("*.users.bson.gz")).unlink()


def cut_manifest(path):
    manifest = path / backup.MANIFEST
    manifest.write_text(manifest.read_text()[:-5])


def write_later_format(path):
    manifest = json.loads((path / backup.MANIFEST).read_text())
    (path / backup.MANIFEST).write_text(json.dumps({**manifest, "format": 2}))


@pytest.mark.parametrize(
    "damage", [damage_file, cut_file, write_an_error_message, lose_file, cut_manifest, write_later_format]
)
def test_damaged_backup_is_noticed_before_anything_is_changed(site, databases, tmp_path, damage):
    databases[0].users.insert_many({"name": f"ana {n}"} for n in range(100))
    path = make(site, tmp_path)
    damage(path)

    with pytest.raises(backup.DamagedBackup):
        put_back(site, path, replace=True)

    assert databases[0].users.count_documents({}) == 100


@pytest.mark.parametrize("kind", [{"viewOn": "users"}, {"capped": True, "size": 4096}])
def test_failed_backup_leaves_nothing_that_looks_like_one(site, databases, tmp_path, kind):
    databases[0].users.insert_one({})
    databases[0].create_collection("seen", **kind)

    with pytest.raises(backup.BackupFailed, match="seen is no ordinary collection"):
        make(site, tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_backup_that_was_written_wrong_is_none(site, databases, tmp_path, monkeypatch):
    databases[0].users.insert_one({})
    written = backup._write
    monkeypatch.setattr(
        backup, "_write", lambda client, folder, wanted: (written(client, folder, wanted), cut_file(folder))
    )

    with pytest.raises(backup.DamagedBackup):
        make(site, tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_backup_tells_its_version_and_moment_and_only_its_owner_reads_it(site, databases, tmp_path):
    databases[0].users.insert_many([{}, {}])

    path = make(site, tmp_path)

    manifest = backup.verify(path)
    assert [(each.name, each.documents) for each in manifest.collections] == [("users", 2)]
    assert f'version = "{manifest.version}"' in (ROOT / "pyproject.toml").read_text()
    assert abs(manifest.cluster_time.as_datetime().timestamp() - path.stat().st_mtime) < 60
    assert path.stat().st_mode & 0o77 == 0 and all(file.stat().st_mode & 0o77 == 0 for file in path.iterdir())
