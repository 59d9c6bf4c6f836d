"""What docker-compose.yml promises of every container, read from the file; needs no Docker."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from pymongo.uri_parser import parse_uri

from dev.stack import Stack, servers
from dev.stack.ports import SERVE_METRICS
from dev.stack.programs import all_programs, environment, passed_on
from libs.contracts.parts import PARTS
from ops import health, redis_users

ROOT = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
CONTAINERS = COMPOSE["services"]
SERVERS = ("rabbitmq", "mongo", "redis")
PROXY = "proxy"
MONITORING = ("prometheus", "grafana", "jaeger", "mongo-exporter", "redis-exporter")
ENDS = {"mongo-setup": "on-failure", "migrate": "on-failure", "operator": "no", "backup": "no", "restore": "no"}
PROGRAMS = tuple(name for name in CONTAINERS if name not in (*SERVERS, *ENDS, *MONITORING, PROXY))
OF_CONTAINERS = {
    **{program: {"METRICS_HOST"} for program in SERVE_METRICS},
    "gateway": {"METRICS_HOST", "GATEWAY_HOST"},
    "fake-stripe": {"FAKE_STRIPE_IN_CONTAINER"},
}
"""Settings that containers get, and for which programs of the local stack use the defaults."""
OF_OVERRIDES = {"OTEL_EXPORTER_OTLP_HEADERS"}
"""Settings that containers get from an override file alone."""

every_container = pytest.mark.parametrize("container", CONTAINERS)
every_program = pytest.mark.parametrize("program", PROGRAMS)


def test_every_program_of_the_local_stack_has_its_container(tmp_path):
    programs = [program.name for program in all_programs(Stack(tmp_path, environ={}))]

    assert set(CONTAINERS) == {*programs, *SERVERS, *ENDS, *MONITORING, PROXY}


def test_operators_shell_gets_the_settings_that_it_has_in_the_local_stack_and_no_more(tmp_path):
    command, settings = CONTAINERS["operator"]["command"], CONTAINERS["operator"]["environment"]

    assert command == ["python", "-m", "ops.shell"]
    assert "exec $(PYTHON) -m ops.shell" in (ROOT / "Makefile").read_text()
    given = {*environment("operator", Stack(tmp_path, environ={})), *passed_on("operator")}
    assert set(settings) == {*given, "OPERATOR_SIGNING_KEY"}


def test_no_operators_key_is_kept_with_the_settings_of_the_servers():
    assert CONTAINERS["operator"]["environment"]["OPERATOR_SIGNING_KEY"] is None  # only what its user passes on
    assert "OPERATOR_SIGNING_KEY" not in (ROOT / ".env.example").read_text()


@every_program
def test_program_gets_the_same_settings_as_in_the_local_stack(program, tmp_path):
    given = set(CONTAINERS[program]["environment"]) - OF_CONTAINERS.get(program, set())

    local = set(environment(program, Stack(tmp_path, environ={}))) | set(passed_on(program))
    assert given == local - OF_OVERRIDES


@every_program
def test_program_runs_the_same_command_as_in_the_local_stack(program, tmp_path):
    words = {each.name: each.command for each in all_programs(Stack(tmp_path, environ={}))}[program]
    command = CONTAINERS[program]["command"]

    assert command[1:] == words[-len(command) + 1 :]


@every_container
def test_container_is_watched_restarted_and_limited(container):
    settings = CONTAINERS[container]

    assert settings["restart"] == ENDS.get(container, "unless-stopped")
    assert "healthcheck" in settings or container in ENDS
    assert re.fullmatch(r"\d+m", settings["mem_limit"]) and settings["pids_limit"]


@every_container
def test_container_has_no_privileges(container):
    settings = CONTAINERS[container]

    assert settings["cap_drop"] == ["ALL"] and settings.get("cap_add", []) == ["NET_BIND_SERVICE"] * (
        container == PROXY
    )
    assert settings["security_opt"] == ["no-new-privileges:true"]
    assert settings["read_only"]
    of_image = settings["image"].startswith(("ticketing:", "ticketing-operator:")) or container in (*MONITORING, PROXY)
    assert settings.get("user") == "999:999" or of_image  # those have users of their own


@every_container
def test_image_is_pinned_to_a_version(container):
    assert re.fullmatch(r"[\w/-]+:v?\d+(\.\d+)*[\w.-]*(@sha256:[0-9a-f]{64})?", CONTAINERS[container]["image"])


@every_program
def test_health_of_a_program_is_its_own(program):
    probe = CONTAINERS[program]["healthcheck"]["test"]

    assert probe == ["CMD", "python", "-I", "-S", "ops/health.py", program, "ready"]


@every_program
def test_first_probe_of_a_program_comes_early_and_waits_as_long_as_the_program_may_take(program):
    timing = CONTAINERS[program]["healthcheck"]

    assert int(timing["interval"].removesuffix("s")) <= 5  # Docker waits for one before the first
    assert int(timing["timeout"].removesuffix("s")) > health.SECONDS


def test_nothing_is_published_but_to_this_machine():
    published = {name: each["ports"] for name, each in CONTAINERS.items() if "ports" in each}

    assert set(published) == {PROXY, "fake-stripe", "prometheus", "grafana", "jaeger"}
    assert all(port.startswith("${PROXY_ADDRESS:-127.0.0.1}:") for port in published.pop(PROXY))
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_gateway_believes_the_proxy_in_front_of_it_and_nobody_else():
    assert CONTAINERS["gateway"]["environment"]["GATEWAY_PROXIES"] == 1
    assert "trusted_proxies" not in (ROOT / "deploy/proxy/Caddyfile").read_text()


@pytest.mark.parametrize("program", SERVE_METRICS)
def test_metrics_are_served_to_other_containers_and_not_published(program):
    settings = CONTAINERS[program]["environment"]

    assert (settings["METRICS_HOST"], settings["METRICS_PORT"]) == ("0.0.0.0", 18800)  # noqa: S104
    assert not [port for port in CONTAINERS[program].get("ports", []) if "METRICS" in port or port.endswith(":18800")]


def test_prometheus_scrapes_the_port_on_which_programs_serve_metrics():
    jobs = yaml.safe_load((ROOT / "deploy/monitoring/prometheus.yml").read_text())["scrape_configs"]
    scraped = {job["job_name"]: job["dns_sd_configs"][0]["port"] for job in jobs if "dns_sd_configs" in job}

    assert scraped == {program: CONTAINERS[program]["environment"]["METRICS_PORT"] for program in SERVE_METRICS}


def test_fake_stripe_monitoring_and_operators_shell_are_optional():
    profiles = {name: each["profiles"] for name, each in CONTAINERS.items() if "profiles" in each}

    monitored = dict.fromkeys(MONITORING, ["monitoring"])
    asked_for = dict.fromkeys(("operator", "backup", "restore"), ["operator"])
    assert profiles == {"fake-stripe": ["demo"], **asked_for, **monitored}


def test_redis_persists_its_jobs_and_evicts_none():
    command = CONTAINERS["redis"]["command"][-1]

    assert "--appendonly yes" in command and "--maxmemory-policy noeviction" in command
    assert "--dir /data" in command and CONTAINERS["redis"]["volumes"] == ["redis:/data"]


def test_broker_dead_letters_again_as_soon_as_in_the_local_stack():
    assert CONTAINERS["rabbitmq"]["environment"]["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] == servers.DEAD_LETTER_AGAIN


def test_mongo_is_set_up_before_its_databases_are_migrated():
    command = CONTAINERS["mongo"]["command"][-1]

    assert CONTAINERS["mongo-setup"]["command"] == ["python", "-m", "ops.mongo_setup", "mongo:27017"]
    assert "--replSet rs0" in command and "--keyFile" in command
    assert CONTAINERS["mongo-setup"]["depends_on"] == {"mongo": {"condition": "service_healthy"}}
    assert CONTAINERS["mongo-setup"]["network_mode"] == "service:mongo"
    assert CONTAINERS["migrate"]["depends_on"] == {"mongo-setup": {"condition": "service_completed_successfully"}}


def write_users_of_redis(folder, given):
    """Do what the container does before it starts Redis; return what it says."""
    script = CONTAINERS["redis"]["command"][-1].replace("$$", "$").replace("/tmp", str(folder))  # noqa: S108
    command = ["sh", "-c", f"{script.partition('exec ')[0]} true"]
    return subprocess.run(command, env={**os.environ, **given}, capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize("password", ["a%2Fb", "a b", "a#b", ""])
def test_password_that_redis_would_read_differently_is_refused(tmp_path, password):
    given = {f"{name.upper()}_REDIS_URL": f"redis://{name}:secret@redis:6379/" for name in redis_users.RULES}

    said = write_users_of_redis(
        tmp_path, {**given, "REDISCLI_AUTH": "secret", "WORKER_REDIS_URL": f"redis://worker:{password}@redis:6379/"}
    )

    assert said == "a password in a Redis address has a character that Redis and its programs read differently\n"


def test_passwords_that_redis_reads_as_its_programs_do_are_taken(tmp_path):
    """One made by `openssl rand -base64` may have a plus, and ends in equals signs."""
    given = {f"{name.upper()}_REDIS_URL": f"redis://{name}:a+Zm9v$!*,;:==@redis:6379/" for name in redis_users.RULES}

    said = write_users_of_redis(tmp_path, {**given, "REDISCLI_AUTH": "a/b%2F=="})

    assert said == ""
    assert "user worker on >a+Zm9v$!*,;:== ~rq:*" in (tmp_path / "users.acl").read_text()


def test_users_of_redis_have_the_rights_that_they_have_in_the_local_stack(tmp_path):
    variables = {name: f"redis://{name}:secret-of-{name}@redis:6379/" for name in redis_users.RULES}
    passwords = {name: f"secret-of-{name}" for name in (*redis_users.RULES, redis_users.ADMINISTRATOR)}
    given = {f"{name.upper()}_REDIS_URL": url for name, url in variables.items()}
    given["REDISCLI_AUTH"] = passwords[redis_users.ADMINISTRATOR]

    assert write_users_of_redis(tmp_path, given) == ""

    assert (tmp_path / "users.acl").read_text().splitlines() == redis_users.acl(passwords)
    assert set(given) == set(CONTAINERS["redis"]["environment"])


def test_databases_are_migrated_before_any_program_that_uses_them_starts(tmp_path):
    migrate = CONTAINERS["migrate"]

    assert migrate["command"] == ["python", "-m", "ops.migrate"] and migrate["networks"] == ["databases"]
    assert set(migrate["environment"]) == {*environment("migrate", Stack(tmp_path, environ={})), *passed_on("migrate")}
    for program in PROGRAMS:
        needs = CONTAINERS[program].get("depends_on", {})
        ready = needs.get("migrate") == {"condition": "service_completed_successfully"}
        assert ready or "databases" not in CONTAINERS[program]["networks"]


@pytest.mark.parametrize("server", SERVERS)
def test_servers_keep_their_data_in_volumes_and_cannot_be_reached_from_outside(server):
    settings = CONTAINERS[server]

    assert all(volume.split(":")[0] in COMPOSE["volumes"] for volume in settings["volumes"])
    assert all(COMPOSE["networks"][network]["internal"] for network in settings["networks"])


@every_container
def test_container_is_given_the_secrets_that_it_reads_and_no_other(container):
    """Exporters of others' had the operators' user of MongoDB, and one that could write to Redis."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \|.*\| yes \|$", (ROOT / "docs/settings.md").read_text(), re.M)
    read_by = {name: [each.removesuffix(" container") for each in readers.split(", ")] for name, readers in rows}
    settings = CONTAINERS[container].get("environment", {})
    given = {*settings, *re.findall(r"\$\{(\w+)", str(settings))}

    assert given & set(read_by) == {name for name, readers in read_by.items() if container in readers}


def test_no_secret_is_written_in_the_file():
    secret = re.compile(r"(AMQP_URL|MONGO_URL|REDIS_URL|_KEY|SECRET|PASSWORD|PASS)$")
    given = [pair for each in CONTAINERS.values() for pair in each.get("environment", {}).items()]

    written = [name for name, value in given if secret.search(name) and not str(value).startswith("${")]
    assert written == ["OPERATOR_SIGNING_KEY"]  # without a value: the one in the environment of its user


def test_image_runs_as_a_user_of_its_own_with_locked_packages():
    dockerfile = (ROOT / "docker/Dockerfile").read_text()

    assert re.findall(r"^USER (.*)$", dockerfile, re.M) == ["ticketing"]
    assert "--require-hashes -r requirements.txt" in dockerfile and "requirements-dev" not in dockerfile
    assert dockerfile.count("--only-binary :all:") == dockerfile.count("--require-hashes") == 3


def test_every_image_can_be_built_from_what_docker_is_sent():
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "docker/Dockerfile").read_text(), re.M)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()

    assert {name for names in copied for name in names.split()} - {line.removeprefix("!") for line in ignored} == {"."}


def test_image_contains_every_part():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()

    assert {f"!{part}" for part in PARTS} <= set(ignored)


def test_image_contains_no_secrets_or_tests():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()

    assert ignored[1] == "*" and "**/tests" in ignored
    assert not [line for line in ignored if line.startswith("!") and ".env" in line]


def test_backups_are_made_as_the_operators_user_and_restored_as_the_administrator():
    made, restored = CONTAINERS["backup"]["environment"], CONTAINERS["restore"]["environment"]

    assert {name for name in made if "MONGO" in name} == {"OPERATOR_MONGO_URL", "MONGO_CA_FILE"}
    assert set(restored) - set(made) == {"MONGO_PASSWORD"}
    (given,) = re.findall(r"^OPERATOR_MONGO_URL=(.+)$", (ROOT / ".env.example").read_text(), re.M)
    assert parse_uri(given)["username"] == "operator"


def compose(tmp_path, *words):
    """Run make with a docker that writes down what it is asked for; return that."""
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    docker.chmod(0o700)
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(["make", "-C", ROOT, *words, "CONTAINERS=1"], env={**os.environ, "PATH": path}, check=True)
    return [line for line in (tmp_path / "asked").read_text().splitlines() if not line.endswith("version")]


def test_nothing_goes_on_after_make_down_be_it_of_an_optional_profile(tmp_path):
    (asked,) = compose(tmp_path, "down")

    profiles = {profile for each in CONTAINERS.values() for profile in each.get("profiles", [])}
    assert set(re.findall(r"--profile (\w+)", asked)) == profiles and asked.endswith(" down")


def test_backup_of_containers_is_their_users_own(tmp_path):
    (asked,) = compose(tmp_path, "backup", f"BACKUPS={tmp_path}/backups")

    user = f"{os.getuid()}:{os.getgid()}"
    assert asked == f"compose run --rm --user {user} --volume {tmp_path}/backups:/backups backup"
    assert (tmp_path / "backups").stat().st_mode & 0o77 == 0


def test_restored_containers_begin_with_an_empty_broker_and_redis(tmp_path):
    (tmp_path / "one").mkdir()
    stop, restore, *emptied = compose(tmp_path, "restore", f"BACKUP={tmp_path}/one", "REPLACE=1")

    assert stop == "compose stop" and restore.endswith("restore python -m ops.restore /backup --replace")
    assert f"--volume {tmp_path}/one:/backup:ro" in restore
    assert [line.split(" -c ") for line in emptied] == [
        [f"compose run --rm --no-deps --entrypoint sh {server}", f"rm -rf {volume}/*"]
        for server, volume in [("rabbitmq", "/var/lib/rabbitmq"), ("redis", "/data")]
    ]


def test_who_is_refused_a_restore_reads_that_the_system_is_stopped(tmp_path):
    (tmp_path / "one").mkdir()
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\ncase "$*" in *ops.restore*) exit 1;; esac\n')
    docker.chmod(0o700)
    settings = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["make", "-C", ROOT, "restore", f"BACKUP={tmp_path}/one", "CONTAINERS=1"]

    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)

    assert done.returncode and "the system is stopped: make up starts it" in done.stdout


@pytest.mark.parametrize("backup", ["", "nowhere"])
def test_a_backup_that_is_not_there_stops_nothing(tmp_path, backup):
    with pytest.raises(subprocess.CalledProcessError):
        compose(tmp_path, "restore", f"BACKUP={backup}")

    assert not (tmp_path / "asked").exists() or "stop" not in (tmp_path / "asked").read_text()


def test_a_backup_goes_into_the_home_folder_though_the_shell_left_the_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))

    (asked,) = compose(tmp_path, "backup", "BACKUPS=~/backups")

    assert f" {tmp_path}/backups:/backups " in asked
