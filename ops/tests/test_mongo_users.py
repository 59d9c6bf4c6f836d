"""With the password of one part, nobody reads or changes the database of another, and without one nobody does anything.

On a mongod of its own, begun with the data of a version without users.
"""

import os
import subprocess
import sys
from contextlib import closing, contextmanager

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from pymongo.uri_parser import parse_uri

from auth.store import UserStore
from dev.secrets import generate, mongo_password
from dev.stack import free_ports
from dev.stack.servers import mongo
from dev.testing import ROOT, stack_folder, wait_for
from libs.contracts.parts import MONGO_USERS, MONITOR, OPERATOR, SERVICES
from libs.database import connect
from libs.schema import migrate, missing
from libs.settings import parsed
from ops import mongo_setup, replica_set
from ops.mongo_users import CHANGED, as_administrator, as_migration, user_of

pytestmark = pytest.mark.integration


@contextmanager
def running(command):
    """Run a mongod while the block runs."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def site():
    """The addresses of all users, the name of mongod, and the secrets."""
    secrets, port = generate(), free_ports().mongo
    member = f"127.0.0.1:{port}"
    with stack_folder() as folder:
        (folder / "mongo").mkdir()
        program = mongo(folder / "mongo", port, secrets)
        key = program.command.index("--keyFile")
        before = [*program.command[:key], *program.command[key + 2 :]]
        with running(before), MongoClient(member, directConnection=True) as client:
            wait_for(lambda: replica_set.takes_writes(client, member), 30)
            client.auth.users.insert_one({"_id": "ana"})
        with running(program.command):
            wait_for(program.is_ready, 30)
            urls = {
                name: f"mongodb://{name}:{secrets[mongo_password(name)]}@{member}/{database}?replicaSet=rs0"
                for name, database in ((name, name if name in SERVICES else "admin") for name in MONGO_USERS)
            }
            yield urls, member, secrets


def create_earlier_users(member, secrets, url):
    """Create auth's users with the rights that they had before the record of operators was kept from them."""
    actions = ["find", "insert", "update", "remove", "listCollections", "listIndexes"]
    everything = [{"resource": {"db": "auth", "collection": ""}, "actions": actions}]
    with mongo_setup.administrator(member, secrets["MONGO_PASSWORD"]) as client:
        client.auth.command("createRole", "part", privileges=everything, roles=[])
        client.auth.command("createUser", user_of(url), pwd="earlier", roles=["part"])
        client.auth.command("createUser", "migrate", pwd="earlier", roles=["readWrite"])


@pytest.fixture(scope="module")
def users(site):
    """The addresses, once the set-up has run twice, first over the users of an earlier version."""
    urls, member, secrets = site
    create_earlier_users(member, secrets, urls["auth"])
    settings = {f"{name.upper()}_MONGO_URL": url for name, url in urls.items()}
    settings |= {name: secrets[name] for name in ("MONGO_PASSWORD", "MIGRATE_MONGO_PASSWORD")}
    for _ in range(2):
        command = [sys.executable, "-m", "ops.mongo_setup", member]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, done.stderr
        assert f"{member} is the primary of rs0 and has its users" in done.stderr
    return urls


def test_users_are_made_over_the_network_as_the_administrator_too(users, site):
    urls, member, secrets = site
    with mongo_setup.administrator(member, secrets["MONGO_PASSWORD"]) as client:
        client.tickets.command("dropUser", user_of(urls["tickets"]))
    settings = {f"{name.upper()}_MONGO_URL": url for name, url in urls.items()}
    settings |= {name: secrets[name] for name in ("MONGO_PASSWORD", "MIGRATE_MONGO_PASSWORD")}
    command = [sys.executable, "-m", "ops.mongo_grant"]

    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True, timeout=90, check=False
    )
    refused = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **settings, "MONGO_PASSWORD": "another"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    assert (done.returncode, refused.returncode) == (0, 1), done.stderr
    assert "the user of AUTH_MONGO_URL cannot be created: Authentication failed" in refused.stderr
    with connect(urls["tickets"]).client as client:
        assert client.tickets.things.find_one({}) is None


ATTEMPTS = {
    "read": lambda database: database.users.find_one(),
    "write": lambda database: database.users.insert_one({}),
    "change": lambda database: database.users.update_one({"_id": "ana"}, {"$set": {"x": 1}}),
    "delete": lambda database: database.users.delete_one({"_id": "ana"}),
    "drop": lambda database: database.client.drop_database(database.name),
    "list": lambda database: database.list_collection_names(),
    "join": lambda database: list(
        database.users.aggregate([{"$lookup": {"from": "users", "pipeline": [], "as": "all"}}])
    ),
    "create a user in": lambda database: database.command("createUser", "eve", pwd="x", roles=["dbOwner"]),
}
"""What is tried with a database of somebody else's."""


def is_refused(attempt, database):
    with pytest.raises(OperationFailure) as refused:
        attempt(database)
    return refused.value.code == mongo_setup.UNAUTHORIZED


@pytest.mark.parametrize("part", SERVICES)
def test_a_part_has_its_own_database_and_no_other(part, users):
    others = [*(name for name in SERVICES if name != part), "admin", "local", "config"]
    with connect(users[part]).client as client:
        client[part].users.insert_one({"_id": part})
        assert client[part].users.find_one({"_id": part})
        client[part].users.delete_one({"_id": part})
        for name in others:
            for attempt in ATTEMPTS.values():
                assert is_refused(attempt, client[name])


@pytest.mark.parametrize("part", SERVICES)
def test_only_the_migration_builds_and_drops_indexes(part, users, site):
    with connect(users[part]).client as client:
        for attempt in (
            lambda database: database.things.create_index("a"),
            lambda database: database.things.drop_index("a_1"),
            lambda database: database.things.drop(),
            lambda database: database.command("createUser", "eve", pwd="x", roles=[]),
        ):
            assert is_refused(attempt, client[part])

    with closing(connect(as_migration(users[part], site[2]["MIGRATE_MONGO_PASSWORD"])).client) as client:
        assert client[part].things.create_index("a") == "a_1"
        client[part].things.drop_index("a_1")
        assert is_refused(ATTEMPTS["read"], client["auth" if part != "auth" else "tickets"])


REWRITES = {
    "change": lambda record: record.update_one({}, {"$set": {"who": "eve"}}),
    "replace": lambda record: record.replace_one({"_id": 1}, {"who": "eve"}, upsert=True),
    "change and read": lambda record: record.find_one_and_update({}, {"$set": {"who": "eve"}}),
    "delete": lambda record: record.delete_many({}),
    "delete and read": lambda record: record.find_one_and_delete({}),
    "drop": lambda record: record.drop(),
    "rename": lambda record: record.rename("users", dropTarget=True),
    "write over": lambda record: list(record.aggregate([{"$project": {"_id": 1}}, {"$out": record.name}])),
    "merge into": lambda record: list(record.aggregate([{"$set": {"who": "eve"}}, {"$merge": {"into": record.name}}])),
    "make small": lambda record: record.database.command("convertToCapped", record.name, size=4096),
    "let check": lambda record: record.database.command("collMod", record.name, validator={"who": "eve"}),
}
"""What would change the record of operators, or lose it."""


def granted(name, users, site):
    return users["auth"] if name == "auth" else as_migration(users["auth"], site[2]["MIGRATE_MONGO_PASSWORD"])


@pytest.mark.parametrize("rewrite", REWRITES)
@pytest.mark.parametrize("name", ["auth", "migrate"])
def test_nobody_changes_what_operators_have_done(name, rewrite, users, site):
    with connect(granted(name, users, site)).client as client:
        for record in (client.auth.operator_actions, client.auth.operator_outcomes):
            record.insert_one({"who": "olga"})

            assert is_refused(REWRITES[rewrite], record)
            assert record.find_one({"who": "olga"}) and not record.find_one({"who": "eve"})


def test_auth_lets_no_record_of_operators_expire(users):
    with connect(users["auth"]).client as client:
        expiring = {"keys": "at", "expireAfterSeconds": 0}
        assert is_refused(lambda record: record.create_index(**expiring), client.auth.operator_actions)


@pytest.mark.parametrize("name", ["auth", "migrate"])
def test_auth_and_its_migration_change_all_that_auth_changes(name, users, site):
    with connect(granted(name, users, site)).client as client:
        for collection in (client.auth[each] for each in CHANGED["auth"]):
            collection.update_one({"_id": name}, {"$set": {"x": 1}}, upsert=True)
            assert collection.delete_one({"_id": name}).deleted_count == 1


def test_migration_builds_all_indexes_of_auth_with_its_own_rights(users, site):
    with closing(connect(granted("migrate", users, site)).client) as client:
        migrate(client.auth, UserStore.schema)

        assert not missing(client.auth, UserStore.schema)


@pytest.mark.usefixtures("users")
def test_who_has_no_password_can_do_nothing(site):
    with MongoClient(site[1]) as nobody:
        for name in (*SERVICES, "admin", "local", "config"):
            for attempt in ATTEMPTS.values():
                assert is_refused(attempt, nobody[name])


def test_operators_read_everything_and_change_nothing(users):
    with connect(users[OPERATOR]).client as client:
        assert client.auth.users.find_one() == {"_id": "ana"}  # written before there were users
        assert client.admin.command("replSetGetStatus")["set"] == "rs0"
        for what in ("write", "change", "delete", "drop"):
            assert is_refused(ATTEMPTS[what], client.auth)


WATCHED = {
    "what runs": lambda client: client.admin.command("currentOp"),  # and with which values
    "what changed": lambda client: client.local["oplog.rs"].find_one(),
    "its log": lambda client: client.admin.command("getLog", "global"),
    "users": lambda client: client.admin.command("usersInfo", 1),
    "statistics": lambda client: client.admin.command("serverStatus"),
}


def test_the_exporter_sees_the_state_of_the_replica_set_and_nothing_else(users):
    """It had the operators' user, which can read every password's hash."""
    with connect(users[MONITOR]).client as client:
        assert client.admin.command("replSetGetStatus")["members"][0]["health"] == 1
        assert client.admin.command("replSetGetConfig")["config"]["_id"] == "rs0"
        for name in (*SERVICES, "admin", "local", "config"):
            for attempt in ATTEMPTS.values():
                assert is_refused(attempt, client[name])
        for attempt in WATCHED.values():
            assert is_refused(attempt, client)


def test_operators_make_backups_which_only_the_administrator_restores(users, site, tmp_path):
    urls, _, secrets = site
    settings = {**os.environ, "OPERATOR_MONGO_URL": urls[OPERATOR]}

    def run(module, *words, **more):
        command = [sys.executable, "-m", module, *words]
        return subprocess.run(
            command, cwd=ROOT, env=settings | more, capture_output=True, text=True, timeout=90, check=False
        )

    path = run("ops.backup", tmp_path).stdout.strip()
    refused = run("ops.restore", path, "--replace", MONGO_PASSWORD="another")
    not_empty = run("ops.restore", path, MONGO_PASSWORD=secrets["MONGO_PASSWORD"])
    done = run("ops.restore", path, "--replace", MONGO_PASSWORD=secrets["MONGO_PASSWORD"])

    assert "auth.users.bson.gz" in os.listdir(path)
    assert (refused.returncode, not_empty.returncode, done.returncode) == (1, 1, 0), done.stderr
    assert "Authentication failed" in refused.stderr and "--replace deletes" in not_empty.stderr
    with connect(users["auth"]).client as client:
        assert client.auth.users.find_one() == {"_id": "ana"}


@pytest.mark.usefixtures("users")
def test_a_wrong_password_of_the_administrator_is_reported(site):
    with pytest.raises(SystemExit, match="MONGO_PASSWORD"):
        mongo_setup.takes_writes(site[1], "wrong")


@pytest.mark.parametrize("options", ["", "?replicaSet=rs0", "?authSource=admin&replicaSet=rs0", "?authsource=operator"])
def test_address_of_the_administrator_is_right_whatever_the_operators_options_are(options):
    address = as_administrator(f"mongodb://operator:secret@mongo/admin{options}", "p@ss")

    found = parse_uri(address, warn=False)
    assert (found["username"], found["password"], found["options"]["authSource"]) == ("ticketing", "p@ss", "admin")
    assert ("replicaSet" in options) == ("replicaSet" in found["options"])


@pytest.mark.parametrize("password", ["a@b", "a/b", "a%b"])
def test_password_that_is_not_escaped_is_a_malformed_setting(password):
    given = {"AUTH_MONGO_URL": f"mongodb://auth:{password}@mongo/auth"}

    with pytest.raises(SystemExit, match="AUTH_MONGO_URL is not of the form"):
        parsed("AUTH_MONGO_URL", mongo_setup.with_user, mongo_setup.USER_FORM, given)
