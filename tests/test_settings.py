"""One list of settings: the code, docs/settings.md, .env.example and docker-compose.yml name the same ones."""

import ast
import re
import stat
import subprocess
import sys
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

from dev import env
from dev.secrets import broker_password, generate, mongo_password, redis_password
from dev.stack import Stack
from dev.stack.layout import STRIPE
from dev.stack.ports import SERVE_METRICS, Ports, setting
from dev.stack.programs import commands, environment
from dev.testing import syntax_nodes
from libs.contracts.parts import BROKER_USERS, MONGO_USERS, PARTS, SERVICES
from ops import redis_users

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/settings.md").read_text()
SYSTEM, OWN_MACHINE = (set(re.findall(r"^\| `(\w+)` \|", part, re.M)) for part in PAGE.split("## On your own machine"))
EXAMPLE = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.M))
FOLDERS = (*PARTS, "libs", "ops", "dev", "docker")
READ_BY_COMPOSE_ITSELF = {"COMPOSE_PROFILES"}
NOT_SETTINGS = {"PATH", "MAKELEVEL", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER"}
ENVIRONMENTS = ("os.environ", "source")  # gateway/settings.py calls it source


def python_files():
    yield ROOT / "conftest.py"
    for folder in FOLDERS:
        yield from (
            path for path in (ROOT / folder).rglob("*.py") if not {"tests", "bench"} & set(path.relative_to(ROOT).parts)
        )


def read_in(path):
    """Yield each environment variable that a Python file reads by a constant name."""
    for node in syntax_nodes(path):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func)
            reads = called in {f"{name}.get" for name in ENVIRONMENTS} | {"os.getenv"}
            of_config = any(ast.unparse(argument).endswith("config") for argument in node.args)
            if reads or called in ("required", "parsed", "optional") and not of_config:
                yield node.args[0].value
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value) in ENVIRONMENTS:
            is_set = isinstance(node.ctx, ast.Store)
            yield from [node.slice.value] if isinstance(node.slice, ast.Constant) and not is_set else []


@cache
def read_by_code():
    configs = [path.read_text() for path in (*ROOT.glob("*/config.yml"), *ROOT.glob("libs/*/config.yml"))]
    in_configs = {name for text in configs for name in re.findall(r"\$\{(\w+)", text)}
    in_python = {name for path in python_files() for name in read_in(path)}
    ports = {setting(field.name) for field in fields(Ports)}
    return (in_configs | in_python | ports) - NOT_SETTINGS


def read_by_compose():
    return set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))


def test_every_setting_that_is_read_is_documented():
    assert read_by_code() | read_by_compose() <= SYSTEM | OWN_MACHINE


def test_every_documented_setting_is_read():
    assert read_by_code() | read_by_compose() | READ_BY_COMPOSE_ITSELF >= SYSTEM | OWN_MACHINE


def test_example_lists_every_setting_of_the_system():
    assert set(EXAMPLE) == SYSTEM


def test_containers_can_get_every_setting_of_the_example():
    given_by_compose = {"GATEWAY_HOST", "METRICS_HOST", "METRICS_PORT", "GATEWAY_PROXIES"}

    assert set(EXAMPLE) == read_by_compose() | READ_BY_COMPOSE_ITSELF | given_by_compose


def test_documented_defaults_are_those_of_the_example():
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| (\w+) \|", PAGE.split("## On your own machine")[0], re.M)
    defaults = {name: value for name, value in rows if value not in ("required", "unset", "any", "none")}

    assert defaults == {name: EXAMPLE[name] for name in defaults}


def test_documented_offsets_of_metrics_ports_are_those_of_the_local_stack():
    offsets = ", ".join(f"{program} {offset}" for offset, program in enumerate(SERVE_METRICS))

    assert f"an offset for each program: {offsets} |" in PAGE
    assert EXAMPLE["METRICS_PORT"] == str(Ports().metrics)


def test_make_run_passes_every_setting_to_the_programs_that_read_it_or_the_page_says_that_it_is_ignored(tmp_path):
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \|", PAGE, re.M)
    ports = {setting(field.name) for field in fields(Ports)}
    stack = Stack(tmp_path, environ={name: "set" for name, _ in rows if name not in {*ports, *STRIPE}})
    given = {name: environment(name, stack) for name in commands(stack)}
    ours = [name for name in given if name != "fake-stripe"]
    ignored = set(re.findall(r"`(\w+)`", PAGE.split("except for")[1].split("which it ignores")[0]))

    groups = {"every program": ours, "services": SERVICES}
    dropped = {
        (name, program)
        for name, readers in rows
        for reader in re.split(r", | but |; ", readers)
        for program in groups.get(reader, [reader])
        if program in ours and name not in given[program]
    }

    assert {name for name, _ in dropped} == ignored


def test_no_example_value_is_a_secret():
    secret = SYSTEM & set(re.findall(r"^\| `(\w+)` \|.*\| yes \|$", PAGE, re.M))

    assert [name for name in secret if "changeme" not in EXAMPLE[name]] == []


def test_new_env_file_has_no_placeholder_left(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["env", str(tmp_path / ".env")])

    env.main()

    made = dict(re.findall(r"^(\w+)=(.*)$", (tmp_path / ".env").read_text(), re.M))
    assert set(made) == set(EXAMPLE)
    assert not [value for value in made.values() if "changeme" in value]
    others = [f"{name.upper()}_MONGO_URL" for name in MONGO_USERS]
    others += [f"{name.upper()}_REDIS_URL" for name in redis_users.RULES]
    assert len({re.search(r"//\w+:(\w{32})@", made[name])[1] for name in others}) == len(others)
    users = [re.search(r"//(\w+):(\w{32})@", made[f"{part.upper()}_AMQP_URL"]).groups() for part in BROKER_USERS]
    assert [name for name, _ in users] == list(BROKER_USERS)
    assert len({password for _, password in users}) == len(BROKER_USERS)


def test_only_its_owner_reads_the_env_file(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["env", str(tmp_path / ".env")])

    env.main()

    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600


OF_0_2 = """\
# mine
RABBITMQ_PASSWORD=as-it-was
ORDERS_MONGO_URL=mongodb://mongo:27017/orders?replicaSet=rs0
AUTH_MONGO_URL=mongodb://me:mine@db.example/auth
MINE=1
"""


def test_existing_env_file_keeps_what_it_has_and_gets_what_it_lacks(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text(OF_0_2)
    monkeypatch.setattr("sys.argv", ["env", str(tmp_path / ".env")])

    env.main()

    text = (tmp_path / ".env").read_text()
    made = dict(re.findall(r"^(\w+)=(.*)$", text, re.M))
    assert set(made) == {*EXAMPLE, "MINE"} and text.startswith("# mine\n")
    assert made["RABBITMQ_PASSWORD"] == "as-it-was"
    assert made["AUTH_MONGO_URL"] == "mongodb://me:mine@db.example/auth"
    assert re.fullmatch(r"mongodb://orders:\w{32}@mongo:27017/orders\?replicaSet=rs0", made["ORDERS_MONGO_URL"])
    assert not [value for value in made.values() if "changeme" in value]
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600


def test_env_file_is_made_without_the_packages_of_the_project(tmp_path):
    packages = re.findall(r"^([\w-]+)==", (ROOT / "requirements-env.txt").read_text(), re.M)
    allowed = {
        *sys.stdlib_module_names,
        *packages,
        "jwt",
        "_cffi_backend",
        "_openssl",
        "_distutils_hack",
        "dev",
        "libs",
        "ops",
    }
    program = "import sys; from dev import env; env.main(); print(*{name.split('.')[0] for name in sys.modules})"

    made = [sys.executable, "-c", program, str(tmp_path / ".env")]
    output = subprocess.run(made, capture_output=True, text=True, check=True, cwd=ROOT).stdout

    loaded = {name for name in output.splitlines()[-1].split() if not name.startswith("__")}
    assert loaded - allowed == set()


def test_env_file_that_cannot_be_written_is_told_in_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["env", str(tmp_path / "nowhere" / "env")])

    with pytest.raises(SystemExit, match="^nothing was written: .*No such file or directory"):
        env.main()


def test_env_file_that_lacks_nothing_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["env", str(tmp_path / ".env")])
    env.main()
    first = (tmp_path / ".env").read_text()

    env.main()

    assert (tmp_path / ".env").read_text() == first


def test_every_secret_that_is_made_has_its_place_in_the_example():
    in_addresses = {broker_password(name) for name in BROKER_USERS}
    in_addresses |= {mongo_password(name) for name in MONGO_USERS}
    in_addresses |= {redis_password(name) for name in redis_users.RULES}

    assert set(generate()) - in_addresses <= set(EXAMPLE)
