"""What deploy/kubernetes promises of every pod, read from the rendered manifests; needs no cluster."""

import re
from pathlib import Path

import pytest
import yaml

from dev import kubernetes, release
from gateway import health
from libs.contracts.parts import PARTS
from ops import redis_users
from tests.test_compose import COMPOSE, CONTAINERS, MONITORING, PROGRAMS, SERVERS

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[1]
OURS = tuple(name for name in PROGRAMS if name != "fake-stripe")
SKAFFOLD = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
ONCE = ("migrate", "operator")
SET_UP = {"mongo-setup", "proxy", "backup", "restore"}
"""What Kubernetes does in a server's own pod, by a job of another name or by an ingress, or people from outside."""
DEVELOPMENT = {"fake-stripe"}
INSIDE = {"COMPOSE_PROFILES", "PROXY_SITE", "PROXY_ADDRESS", "PROXY_TLS_PORT"}
"""Settings of docker-compose.yml itself, and of its proxy."""

PROBE_TIMES = {"checkIntervalSec", "timeoutSec", "healthyThreshold", "unhealthyThreshold"}

every_overlay = pytest.mark.parametrize("overlay", kubernetes.OVERLAYS)
every_program = pytest.mark.parametrize("program", OURS)


def of_kind(overlay, *kinds):
    return {each["metadata"]["name"]: each for each in kubernetes.rendered(overlay) if each["kind"] in kinds}


def pods(overlay):
    """Return the template of each pod by the name of what makes it."""
    made = {}
    for name, each in of_kind(overlay, "Deployment", "StatefulSet", "Job", "CronJob").items():
        spec = each["spec"]
        made[name] = (spec["jobTemplate"]["spec"] if each["kind"] == "CronJob" else spec)["template"]
    return made


def operated(overlay):
    """Return what the operators of RabbitMQ and MongoDB are told of its pods, by the server's name."""
    told = {
        name: each["spec"].get("override", each["spec"])["statefulSet"]["spec"]["template"]
        for name, each in of_kind(overlay, "RabbitmqCluster", "MongoDBCommunity").items()
    }
    assert overlay == "dev" or set(told) == {"rabbitmq", "mongo"}
    return told


def containers(pod):
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def program_of(pod):
    return pod["spec"]["containers"][0]


def secrets_of(container):
    sources = {each["name"]: each.get("valueFrom", {}) for each in container.get("env", [])}
    return {name for name, source in sources.items() if "secretKeyRef" in source}


def settings(overlay):
    (config,) = [each for name, each in of_kind(overlay, "ConfigMap").items() if name.startswith("settings")]
    return config["data"]


@every_overlay
def test_every_manifest_is_valid_for_the_oldest_and_the_newest_kubernetes(overlay):
    assert [problem for each in kubernetes.rendered(overlay) for problem in kubernetes.invalid(overlay, each)] == []


def test_kubernetes_runs_the_programs_of_docker_compose():
    assert set(pods("dev")) - set(SERVERS) == set(CONTAINERS) - {*SERVERS, *MONITORING} - SET_UP
    assert set(pods("production")) >= {*OURS, *ONCE, "mongo-users"}
    assert not set(pods("production")) & DEVELOPMENT


@every_program
def test_program_runs_the_same_command_with_the_same_secrets_as_in_docker_compose(program):
    container, composed = program_of(pods("production")[program]), CONTAINERS[program]

    assert container["command"] == composed["command"]
    assert secrets_of(container) == {name for name, value in composed["environment"].items() if ":?" in str(value)}


@every_program
def test_program_gets_every_setting_that_it_has_in_docker_compose(program):
    container = program_of(pods("production")[program])
    given = {each["name"] for each in container["env"]} | set(settings("production"))

    assert set(CONTAINERS[program]["environment"]) <= given


def test_every_setting_of_the_system_is_given_by_its_name():
    documented = set(re.findall(r"^([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(), re.M)) - INSIDE
    secret = {name for pod in pods("dev").values() for each in containers(pod) for name in secrets_of(each)}
    renamed = {"RABBITMQ_PASSWORD", "REDIS_PASSWORD"}  # servers know these by other names

    assert documented <= secret | renamed | set(settings("dev"))


@every_overlay
def test_no_secret_is_in_a_config_map_or_written_in_a_manifest(overlay):
    secret = re.compile(r"(AMQP_URL|MONGO_URL|REDIS_URL|_KEY|SECRET|PASSWORD|PASS|AUTH)$")
    for each in of_kind(overlay, "ConfigMap").values():
        assert not [name for name in each["data"] if secret.search(name)]
    for pod in pods(overlay).values():
        for container in containers(pod):
            assert not [each for each in container.get("env", []) if secret.search(each["name"]) and "value" in each]
    if overlay != "dev":
        assert not of_kind(overlay, "Secret")


@every_overlay
def test_every_pod_meets_the_restricted_pod_security_standard(overlay):
    for name, pod in (pods(overlay) | operated(overlay)).items():
        about = pod["spec"]["securityContext"]
        assert about["runAsNonRoot"] and about["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert "runAsUser" in about or name in operated(overlay)
        for container in containers(pod):
            rights = container["securityContext"]
            assert rights["allowPrivilegeEscalation"] is False and rights["capabilities"] == {"drop": ["ALL"]}, name
            assert rights["readOnlyRootFilesystem"], name
    namespace = of_kind(overlay, "Namespace")["ticketing"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@every_overlay
def test_mongodb_alone_has_access_to_the_api_of_the_cluster(overlay):
    made = pods(overlay) | operated(overlay)
    unnamed = [name for name, each in of_kind(overlay, "NetworkPolicy").items() if leads_anywhere(each)]

    mounted = {name for name, pod in made.items() if pod["spec"].get("automountServiceAccountToken") is not False}
    assert mounted == ({"mongo"} if operated(overlay) else set())  # its agent marks pods and reads the configuration
    assert unnamed == (["mongo-members"] if operated(overlay) else [])


def leads_anywhere(policy):
    return any("to" not in rule for rule in policy["spec"].get("egress", []))


@every_overlay
def test_every_image_has_a_version(overlay):
    images = {each["image"] for pod in pods(overlay).values() for each in containers(pod)}

    assert [image for image in images if not re.fullmatch(r"[\w./-]+:\d[\w.-]*(@sha256:[0-9a-f]{64})?", image)] == []


def test_every_file_deploys_the_version_of_the_project():
    assert {version for _, version in release.images()} == {release.version()}


@every_overlay
def test_every_container_that_stays_is_probed_and_limited(overlay):
    for name, each in of_kind(overlay, "Deployment", "StatefulSet").items():
        for container in each["spec"]["template"]["spec"]["containers"]:
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container), name
    for pod in pods(overlay).values():
        for container in containers(pod):
            assert container["resources"]["requests"]["memory"] and container["resources"]["limits"]["memory"]


def test_gateway_is_probed_from_inside_its_pod():
    gateway = program_of(pods("production")["gateway"])

    assert gateway["livenessProbe"]["exec"]["command"] == ["python", "-I", "-S", "ops/health.py", "gateway"]
    assert gateway["readinessProbe"]["exec"]["command"][-2:] == ["gateway", "ready"]


def test_google_is_told_nothing_of_its_probe_that_it_does_not_know():
    probe = of_kind("gcp", "BackendConfig")["gateway"]["spec"]["healthCheck"]

    assert set(probe) <= {"type", "requestPath", "port", *PROBE_TIMES}  # of ingress-gce's HealthCheckConfig
    assert probe["requestPath"] in health.PATHS  # which it asks by an address, as no field gives it a name


@every_program
def test_a_program_joins_the_networks_that_it_has_in_docker_compose(program):
    labels = pods("production")[program]["metadata"]["labels"]
    joined = {name.removeprefix("network/") for name in labels if name.startswith("network/")}
    wanted = set(CONTAINERS[program]["networks"])
    if program == "gateway":
        wanted -= {"outside"}  # there it is what publishes its port; here the ingress comes to it
    if program == "broker-setup":
        wanted |= {"broker-management"}

    assert joined == wanted


def test_every_network_of_docker_compose_leads_to_its_server_alone():
    policies, reached = of_kind("production", "NetworkPolicy"), {}
    for name in set(COMPOSE["networks"]) - {"outside"}:
        (rule,) = policies[name]["spec"]["egress"]
        (to,) = rule["to"]
        reached[name] = to["podSelector"]["matchLabels"]["server"]
        assert policies[name]["spec"]["podSelector"] == {"matchLabels": {f"network/{name}": "joined"}}
        assert policies[f"{name}-server"]["spec"]["ingress"][0]["from"] == [
            {"podSelector": {"matchLabels": {f"network/{name}": "joined"}}}
        ]

    assert reached == {"broker": "rabbitmq", "databases": "mongo", "jobs": "redis"}


@every_overlay
def test_nobody_reaches_anything_that_no_policy_allows(overlay):
    nothing = of_kind(overlay, "NetworkPolicy")["nothing"]["spec"]

    assert nothing == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_payments_alone_may_leave_the_cluster():
    policies, production = of_kind("production", "NetworkPolicy"), pods("production")
    outside = [name for name, each in production.items() if "network/outside" in each["metadata"]["labels"]]

    assert outside == ["payments"]
    (block,) = [to["ipBlock"] for rule in policies["outside"]["spec"]["egress"] for to in rule["to"]]
    assert block["cidr"] == "0.0.0.0/0" and {"10.0.0.0/8", "169.254.0.0/16"} <= set(block["except"])


def test_what_serves_people_has_two_copies_at_least_and_loses_one_at_a_time():
    scaled, budgets = of_kind("production", "HorizontalPodAutoscaler"), of_kind("production", "PodDisruptionBudget")

    assert {name for name in scaled if scaled[name]["spec"]["minReplicas"] >= 2} == {*PARTS, "worker"}
    assert set(budgets) == {*PARTS, "worker", "scheduler", *SERVERS}
    assert of_kind("production", "Deployment")["scheduler"]["spec"]["replicas"] == 2
    assert all(each["spec"]["maxUnavailable"] == 1 for each in budgets.values())


@every_overlay
def test_a_new_pod_is_ready_before_an_old_one_ends(overlay):
    for each in of_kind(overlay, "Deployment").values():
        if each["metadata"]["name"] in DEVELOPMENT:
            continue
        assert each["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_gateway_ends_only_when_no_proxy_sends_it_requests_any_more():
    pod = pods("production")["gateway"]["spec"]
    held = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]

    assert pod["terminationGracePeriodSeconds"] >= held + 25  # graceful_timeout of gateway/gunicorn.conf.py


def test_redis_has_the_same_command_as_in_docker_compose():
    command = program_of(pods("dev")["redis"])["command"]

    assert command[-1].split() == CONTAINERS["redis"]["command"][-1].replace("$$", "$").split()


def test_servers_have_the_images_of_docker_compose():
    for server in SERVERS:
        assert CONTAINERS[server]["image"] in {each["image"] for each in containers(pods("dev")[server])}
    cluster = of_kind("production", "RabbitmqCluster")["rabbitmq"]["spec"]
    assert cluster["image"] == CONTAINERS["rabbitmq"]["image"] and cluster["replicas"] == 3


@pytest.mark.parametrize(("setting", "server"), [("AMQP_URL", "rabbitmq"), ("MONGO_URL", "mongo")])
def test_servers_have_certificates_for_the_names_by_which_the_manual_has_programs_ask(setting, server):
    (address,) = re.findall(rf"^\| `…_{setting}` \| `(.*?)`", (ROOT / "docs/deploy.md").read_text(), re.M)
    hosts = [host.partition(":")[0] for host in address.partition("@")[2].partition("/")[0].split(",")]
    certified = of_kind("production", "Certificate")[server]["spec"]["dnsNames"]

    assert hosts and [host for host in hosts if not any(is_for(name, host) for name in certified)] == []


def is_for(certified, host):
    """Return whether OpenSSL takes a certificate for a host: a star is one label, and needs two dots behind it."""
    _, star, rest = certified.partition("*")
    return host.partition(".")[2] == rest[1:] and rest.count(".") >= 2 if star else certified == host


def test_skaffold_builds_the_one_image_and_deploys_the_overlays():
    paths = [each["manifests"]["kustomize"]["paths"] for each in (SKAFFOLD, *SKAFFOLD["profiles"])]

    assert [each["image"] for each in SKAFFOLD["build"]["artifacts"]] == ["ticketing"]
    assert [path for (path,) in paths] == [f"deploy/kubernetes/overlays/{name}" for name in kubernetes.OVERLAYS]
    sources = {rule["src"].partition("/")[0] for rule in SKAFFOLD["build"]["artifacts"][0]["sync"]["manual"]}
    assert {*PARTS, "libs", "ops"} == sources


@pytest.mark.parametrize("overlay", kubernetes.OVERLAYS[1:])
def test_skaffold_deploys_what_it_has_built_and_pushed_with_every_profile(overlay):
    (profile,) = [each for each in SKAFFOLD["profiles"] if each["name"] == overlay]
    patched = {(each["op"], each["path"]): each.get("value") for each in profile["patches"]}
    built = {patched["replace", "/build/artifacts/0/image"], patched["add", "/build/artifacts/-"]["image"]}
    deployed = {each["image"].partition(":")[0] for pod in pods(overlay).values() for each in containers(pod)}

    assert profile["build"]["local"]["push"]
    assert built == {image for image in deployed if "ticketing" in image}
    assert {("remove", "/portForward"), ("remove", "/build/artifacts/0/sync")} <= set(patched)


def test_operators_have_tables_in_their_shell():
    image = program_of(pods("production")["operator"])["image"]

    assert re.fullmatch(r"[\w./-]+/ticketing-operator:[\d.]+", image)


def test_skaffold_can_write_code_into_every_container_that_runs_the_image():
    made = of_kind("dev", "Deployment", "StatefulSet", "CronJob")
    running = [(name, each) for name in made for each in pods("dev")[name]["spec"]["containers"]]
    ours = [(name, each) for name, each in running if each["image"].startswith("ticketing:")]

    assert {"auth", "fake-stripe", "mongo", "operator"} <= {name for name, _ in ours}
    assert [name for name, each in ours if {"name": "code", "mountPath": "/app"} not in each["volumeMounts"]] == []


def test_each_sentinel_lets_programs_ask_for_the_server_and_each_redis_what_they_need():
    (scripts,) = [each["data"] for name, each in of_kind("production", "ConfigMap").items() if "redis" in name]

    for name in redis_users.PROGRAMS:
        allowed = [redis_users.RULES[name], redis_users.ASKS_SENTINEL]
        for script, rules in zip(("redis.sh", "sentinel.sh"), allowed, strict=True):
            assert f'user {name} on >$(password "${name.upper()}_REDIS_URL") {rules}\n' in scripts[script]
    assert f"sentinel monitor {redis_users.PRIMARY} " in scripts["sentinel.sh"]


def test_redis_survives_the_loss_of_any_one_of_its_members():
    redis = of_kind("production", "StatefulSet")["redis"]["spec"]

    assert redis["replicas"] == 3
    assert of_kind("production", "PodDisruptionBudget")["redis"]["spec"]["maxUnavailable"] == 1
    assert {each["name"] for each in redis["template"]["spec"]["containers"]} == {"redis", "sentinel"}
