"""What the stack decides and writes before any process starts."""

import configparser
import socket
import stat
from pathlib import Path
from unittest.mock import Mock

import pytest

from dev import secrets
from dev.stack import Ports, Stack, StackError, free_ports, install
from dev.stack.__main__ import main
from dev.stack.ports import SERVE_METRICS, PortTaken
from dev.stack.programs import all_programs, environment
from dev.stack.supervisor import Program, Supervisor, SupervisorError, configuration
from libs.tokens import Signer, Verifier
from ops.broker_setup import OtherQueueType


def test_free_ports_are_all_different():
    ports = vars(free_ports()).values()

    assert len(set(ports)) == len(ports)


def test_stacks_that_start_at_the_same_time_get_different_ports(monkeypatch):
    rows = (number // 2 for number in range(2000))  # the second looks first where the first has found its own
    monkeypatch.setattr("dev.stack.ports.secrets.randbelow", lambda _: next(rows))

    first, second = free_ports(), free_ports()

    assert not set(vars(first).values()) & set(vars(second).values())


def test_setting_moves_one_port():
    ports = Ports.from_environment({"GATEWAY_PORT": "9000", "STACK_REDIS_PORT": "9001"})

    assert (ports.gateway, ports.redis, ports.amqp) == (9000, 9001, Ports().amqp)


def test_taken_port_is_named_with_the_setting_that_moves_it():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = Ports(redis=taken.getsockname()[1])

        with pytest.raises(PortTaken, match="STACK_REDIS_PORT"):
            ports.require_free(("redis",))


def test_every_program_has_a_metrics_port_of_its_own(tmp_path):
    stack = Stack(tmp_path, environ={"METRICS_PORT": "9100"})

    given = [
        program.environment.get("METRICS_PORT") for program in all_programs(stack) if program.name != "fake-stripe"
    ]

    assert sorted(given) == [str(9100 + offset) for offset in range(len(SERVE_METRICS))]


def test_taken_metrics_port_of_any_program_is_named_with_the_setting_that_moves_them():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = Ports(metrics=taken.getsockname()[1] - 3)

        with pytest.raises(PortTaken, match=f"{ports.metrics + 3}: set METRICS_PORT"):
            ports.require_free(("metrics",))


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path):
    first = secrets.keep(tmp_path / "secrets.env")

    assert secrets.keep(tmp_path / "secrets.env") == first
    assert stat.S_IMODE((tmp_path / "secrets.env").stat().st_mode) == 0o600


def test_every_signing_key_has_its_public_key():
    made = secrets.generate()

    token = Signer(made["ORDERS_SIGNING_KEY"]).mint_service("payments")

    assert Verifier(made["TOKEN_PUBLIC_KEYS"], "payments").verify(token).issuer == "orders"


def test_program_gets_its_own_keys_and_no_other(tmp_path):
    programs = {program.name: program for program in all_programs(Stack(tmp_path, environ={}))}

    signing_keys = {
        name: [setting for setting in programs[name].environment if setting.endswith("SIGNING_KEY")]
        for name in ("expiration", "worker")
    }

    assert signing_keys == {"expiration": ["EXPIRATION_SIGNING_KEY"], "worker": []}
    assert "STRIPE_SECRET_KEY" not in programs["orders"].environment


def test_passkeys_belong_to_a_name_and_not_to_an_ip_address(tmp_path):
    stack = Stack(tmp_path, Ports(gateway=9000), environ={})

    given = {each: environment(each, stack).get("PUBLIC_URL") for each in ("auth", "gateway", "orders")}

    assert given == {"auth": "http://localhost:9000", "gateway": "http://localhost:9000", "orders": None}
    assert stack.public_url == given["auth"]


def test_stack_of_an_earlier_version_gets_the_secrets_that_it_lacks(tmp_path):
    path = tmp_path / "secrets.env"
    made = secrets.keep(path)
    older = "".join(f"{name}={value}\n" for name, value in made.items() if name != "AUTH_ENCRYPTION_KEY")
    path.write_text(older)

    kept = secrets.keep(path)

    assert kept.keys() == made.keys()
    assert [name for name in made if kept[name] != made[name]] == ["AUTH_ENCRYPTION_KEY"]


def test_real_stripe_keys_replace_the_fake(tmp_path):
    keys = {"STRIPE_SECRET_KEY": "a", "STRIPE_PUBLISHABLE_KEY": "b", "STRIPE_WEBHOOK_SECRET": "c"}
    programs = {program.name: program for program in all_programs(Stack(tmp_path, environ=keys))}

    assert "fake-stripe" not in programs
    assert keys.items() <= programs["payments"].environment.items()
    assert "STRIPE_API_BASE" not in programs["payments"].environment


def test_percent_signs_and_spaces_survive_the_supervisor_configuration(tmp_path):
    program = Program("some", ["echo", "50 %"], lambda: True, {"KEY": "a%2F,b=c"})

    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(configuration(tmp_path / "50% off", [], [program]))

    assert parser["supervisord"]["childlogdir"] == f"{tmp_path}/50%% off/logs"
    assert parser["program:some"]["command"] == "echo '50 %%'"
    assert parser["program:some"]["environment"] == 'KEY="a%%2F,b=c"'


@pytest.mark.parametrize("name", ["it's", 'say "hello"', "project #2", "a ;b", "tickets[1]"])
def test_a_folder_whose_name_a_server_would_misread_is_named(name):
    with pytest.raises(SupervisorError, match="misread: move the project"):
        Supervisor(Path("/srv", name)).start([], [])


def test_missing_server_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setattr(install, "missing_packages", lambda *_: ["redis-server"])
    monkeypatch.setattr(install, "APT_INSTALL", "false")

    with pytest.raises(install.MissingServers, match="apt-get install redis-server"):
        install.require()


def test_a_stack_whose_folder_cannot_be_made_says_so_in_a_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr("sys.argv", ["stack", "--folder", str(tmp_path / "file"), "servers"])
    monkeypatch.setattr(install, "require", lambda **_: None)

    with pytest.raises(SystemExit, match="File exists: .*/file"):
        main()


def test_a_stack_whose_queues_are_of_another_type_says_what_to_delete(tmp_path, monkeypatch):
    monkeypatch.setattr("dev.stack.stack.set_up", Mock(side_effect=OtherQueueType("another QUEUE_TYPE")))

    with pytest.raises(StackError, match=f"another QUEUE_TYPE; here: delete {tmp_path}/rabbitmq"):
        Stack(tmp_path, environ={})._set_up_broker()


def test_servers_for_tests_leave_the_ports_of_make_run_to_it(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr("dev.stack.__main__.run", started.append)
    monkeypatch.setattr("sys.argv", ["stack", "--folder", str(tmp_path), "servers"])
    monkeypatch.setattr(install, "require", lambda **_: None)

    main()

    assert not {*vars(started[0].ports).values()} & {*vars(Ports()).values()}


def test_joining_a_stack_that_does_not_run_says_so(tmp_path):
    with pytest.raises(StackError, match="no stack runs"):
        Stack.join(tmp_path)


@pytest.mark.parametrize(
    ("present", "used"),
    [
        ({"chromium", "chromium-headless-shell"}, "chromium-headless-shell"),
        ({"chromium"}, "chromium"),
        (set(), None),
    ],
)
def test_chromium_without_a_window_is_preferred_and_only_installed_when_there_is_none(monkeypatch, present, used):
    monkeypatch.setattr("shutil.which", lambda name: name if name in present else None)

    assert install.chromium() == used
    assert ("chromium-headless-shell" in install.missing_packages(browser=True)) == (used is None)
