"""What deploy/kubernetes promises of every pod, read from the rendered manifests; needs no cluster."""

import re
import subprocess
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from dev import env, kubernetes, release
from dev.secrets import generate
from libs.contracts.parts import PARTS
from ops import redis_users
from tests.test_compose import COMPOSE, CONTAINERS, MONITORING, PROGRAMS, SERVERS

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[1]
OURS = tuple(name for name in PROGRAMS if name != "fake-stripe")
SKAFFOLD = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
MANUAL = (ROOT / "docs/deploy.md").read_text()
WORKFLOW = (ROOT / ".github/workflows/deploy.yml").read_text()
SECRETS = "deploy/kubernetes/overlays/dev/secrets.env"  # which Skaffold makes
STATIC_ADDRESS = "kubernetes.io/ingress.global-static-ip-name"
ONCE = ("migrate", "operator", "administrator")
SET_UP = {"mongo-setup", "proxy", "backup", "restore"}  # the last two are what an administrator's pod is for
"""What Kubernetes does in a server's own pod, by a job of another name or by an ingress, or people from outside."""
DEVELOPMENT = {"fake-stripe"}
INSIDE = {"COMPOSE_PROFILES", "PROXY_SITE", "PROXY_ADDRESS", "PROXY_TLS_PORT"}
"""Settings of docker-compose.yml itself, and of its proxy."""

PLURALS = {"NetworkPolicy": "networkpolicies", "Ingress": "ingresses", "MongoDBCommunity": "mongodbcommunity"}
PROBE_TIMES = {"checkIntervalSec", "timeoutSec", "healthyThreshold", "unhealthyThreshold"}

every_overlay = pytest.mark.parametrize("overlay", kubernetes.OVERLAYS)
every_program = pytest.mark.parametrize("program", OURS)


def of_kind(overlay, *kinds):
    return {each["metadata"]["name"]: each for each in kubernetes.render(overlay) if each["kind"] in kinds}


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


@pytest.mark.parametrize(
    "made", [*((each,) for each in kubernetes.OVERLAYS), kubernetes.WITH_OPTIONS, ()], ids=" ".join
)
def test_every_manifest_is_valid_for_the_oldest_and_the_newest_kubernetes(made):
    manifests = kubernetes.render(*made) if made else kubernetes.beside()

    assert manifests and [problem for each in manifests for problem in kubernetes.invalid(each)] == []


def test_kubernetes_runs_the_programs_of_docker_compose():
    assert set(pods("dev")) - set(SERVERS) - {"administrator"} == set(CONTAINERS) - {*SERVERS, *MONITORING} - SET_UP
    assert set(pods("production")) >= {*OURS, *ONCE, "mongo-users"}
    assert not set(pods("production")) & DEVELOPMENT


@every_program
def test_program_runs_the_same_command_with_the_same_secrets_as_in_docker_compose(program):
    container, composed = program_of(pods("production")[program]), CONTAINERS[program]

    assert container["command"] == composed["command"]
    assert secrets_of(container) == secrets_in(composed)


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


def test_keda_can_ask_the_broker_for_the_length_of_a_queue():
    made = kubernetes.render(*kubernetes.WITH_OPTIONS)
    asked = [each["spec"] for each in made if each["kind"] == "TriggerAuthentication"]
    named = {each["metadata"]["name"]: each for each in made if each["kind"] in ("ConfigMap", "NetworkPolicy")}
    scaled = [each["spec"]["scaleTargetRef"]["name"] for each in made if each["kind"] == "ScaledObject"]
    by_time = [each["metadata"]["name"] for each in made if each["kind"] == "HorizontalPodAutoscaler"]

    (spec,) = asked
    (tls,) = spec["configMapTargetRef"]
    assert tls["parameter"] == "tls" and named[tls["name"]]["data"][tls["key"]] == "enable"
    secrets = {each["parameter"]: each["key"] for each in spec["secretTargetRef"]}
    assert secrets == {"host": "MONITOR_AMQP_URL", "ca": "ca.crt"}
    assert named["broker-keda"]["spec"]["ingress"][0]["ports"] == [{"port": 5671}]
    assert len(scaled) == 3 and not set(scaled) & set(by_time)


@pytest.mark.parametrize("rendered", [*((each,) for each in kubernetes.OVERLAYS[1:]), kubernetes.WITH_OPTIONS])
def test_who_deploys_may_apply_every_manifest(rendered):
    (role,) = [
        each for each in kubernetes.beside() if each["kind"] == "Role" and each["metadata"]["name"] == "deployer"
    ]
    for each in kubernetes.render(*rendered):
        group, resource = each["apiVersion"].rpartition("/")[0], PLURALS.get(each["kind"], f"{each['kind'].lower()}s")
        given = [rule for rule in role["rules"] if group in rule["apiGroups"] and resource in rule["resources"]]
        assert given and {"get", "patch"} <= set(given[0]["verbs"]), each["kind"]


def test_who_deploys_reads_no_secret():
    (role,) = [
        each for each in kubernetes.beside() if each["kind"] == "Role" and each["metadata"]["name"] == "deployer"
    ]

    assert not {"secrets", "pods", "pods/exec", "*"} & {name for rule in role["rules"] for name in rule["resources"]}


@pytest.mark.parametrize(
    ("overlay", "pod", "composed"),
    [
        *(("dev", "migrate", "migrate"), ("production", "migrate", "migrate")),
        *(("dev", "mongo", "mongo-setup"), ("production", "mongo-users", "mongo-setup")),
    ],
)
def test_every_database_of_docker_compose_is_set_up_and_migrated(overlay, pod, composed):
    given = {name for each in containers(pods(overlay)[pod]) for name in secrets_of(each)}

    assert secrets_in(CONTAINERS[composed]) <= given


def test_administrator_has_what_the_first_operator_and_backups_need():
    container = program_of(pods("production")["administrator"])
    needed = {name for each in ("backup", "restore") for name in secrets_in(CONTAINERS[each])}

    assert needed | {"AUTH_MONGO_URL"} == secrets_of(container)
    assert "/backups" in {each["mountPath"] for each in container["volumeMounts"]}


@every_overlay
def test_no_pod_fills_the_disk_of_its_node(overlay):
    for name, pod in (pods(overlay) | operated(overlay)).items():
        scratch = [each["emptyDir"] for each in pod["spec"].get("volumes", []) if "emptyDir" in each]
        assert all("sizeLimit" in each for each in scratch), name


def test_an_administrator_is_given_the_room_that_backups_may_take():
    pod = pods("production")["administrator"]
    (backups,) = [each["emptyDir"] for each in pod["spec"]["volumes"] if each["name"] == "backups"]

    assert program_of(pod)["resources"]["requests"]["ephemeral-storage"] == backups["sizeLimit"]


def secrets_in(composed):
    return {name for name, value in composed["environment"].items() if ":?" in str(value)}


def test_prometheus_finds_every_program_under_the_name_that_the_alerts_know():
    values = yaml.safe_load((ROOT / "deploy/monitoring/kubernetes-values.yaml").read_text())
    programs, *servers = yaml.safe_load(values["extraScrapeConfigs"])
    alerts = (ROOT / "deploy/monitoring/rules/alerts.yml").read_text()
    _, keep, name = programs["relabel_configs"]

    asked = {
        pod["metadata"]["labels"]["app.kubernetes.io/component"]
        for pod in pods("production").values()
        if keep["regex"] in {port["name"] for port in program_of(pod).get("ports", [])}
    }
    assert asked == set(re.findall(r'absent\(up\{job="(.*?)"\}', alerts))
    assert name["target_label"] == "job"
    assert [each["job_name"] for each in servers] == ["mongo", "redis", "rabbitmq", "rabbitmq-alarms"]


def test_an_evicted_pod_does_not_count_as_a_program_that_is_down():
    values = yaml.safe_load((ROOT / "deploy/monitoring/kubernetes-values.yaml").read_text())
    of_pods = [each for each in yaml.safe_load(values["extraScrapeConfigs"]) if "kubernetes_sd_configs" in each]
    phase = ["__meta_kubernetes_pod_phase"]

    assert len(of_pods) == 4
    for job in of_pods:
        assert {"source_labels": phase, "regex": "Failed|Succeeded", "action": "drop"} in job["relabel_configs"]


def test_prometheus_has_each_redis_asked_for_its_part():
    values = yaml.safe_load((ROOT / "deploy/monitoring/kubernetes-values.yaml").read_text())
    (job,) = [each for each in yaml.safe_load(values["extraScrapeConfigs"]) if each["job_name"] == "redis"]
    name, namespace, _ = job["relabel_configs"][-1]["replacement"].split(".")
    made = kubernetes.render(*kubernetes.WITH_OPTIONS)
    (service,) = [each for each in made if (each["kind"], each["metadata"]["name"]) == ("Service", name)]
    members = of_kind("production", "StatefulSet")["redis"]["spec"]["replicas"]

    assert job["static_configs"][0]["targets"] == [f"redis-{number}.redis:6379" for number in range(members)]
    assert service["metadata"]["namespace"] == namespace
    assert service["spec"]["selector"].items() <= exporter(name)["metadata"]["labels"].items()


def exporter(name):
    deployments = [each for each in kubernetes.render(*kubernetes.WITH_OPTIONS) if each["kind"] == "Deployment"]
    (pod,) = [each["spec"]["template"] for each in deployments if each["metadata"]["name"] == name]
    return pod


@pytest.mark.parametrize("name", ["mongo-exporter", "redis-exporter"])
def test_exporter_is_that_of_docker_compose_and_reaches_its_server_alone(name):
    pod = exporter(name)
    networks = {label.removeprefix("network/") for label in pod["metadata"]["labels"] if label.startswith("network/")}

    assert program_of(pod)["image"].removesuffix("-alpine") == CONTAINERS[name]["image"]
    assert program_of(pod)["ports"][0]["name"] == "exporter"
    assert secrets_of(program_of(pod)) == set(re.findall(r"\{(\w+):", str(CONTAINERS[name])))
    assert name == "redis-exporter" or "--no-mongodb.direct-connect" in program_of(pod)["args"]  # else it has one host
    assert networks == set(CONTAINERS[name]["networks"]) - {"broker"}  # by which Prometheus comes there
    assert (
        program_of(pod)["securityContext"]["readOnlyRootFilesystem"] and pod["spec"]["securityContext"]["runAsNonRoot"]
    )


def test_redis_exporter_is_the_user_whose_address_it_has_in_docker_compose():
    program = program_of(exporter("redis-exporter"))
    (user,) = [each["value"] for each in program["env"] if each["name"] == "REDIS_USER"]
    script = program["command"][-1].replace("/redis_exporter", "env")
    address = "redis+sentinel://monitor:secret@redis-0.redis:26379,redis-1.redis:26379/ticketing/"

    told = subprocess.check_output(["sh", "-c", script], env={"MONITOR_REDIS_URL": address}, text=True)
    assert "REDIS_PASSWORD=secret" in told.splitlines()
    assert f"{user.upper()}_REDIS_URL" in CONTAINERS["redis-exporter"]["environment"]["REDIS_ADDR"]


def test_gateway_is_probed_from_inside_its_pod():
    gateway = program_of(pods("production")["gateway"])

    assert gateway["livenessProbe"]["exec"]["command"] == ["python", "-I", "-S", "ops/health.py", "gateway"]
    assert gateway["readinessProbe"]["exec"]["command"][-2:] == ["gateway", "ready"]


@pytest.mark.parametrize("overlay", ["production", "digitalocean"])
def test_the_site_gets_the_certificate_for_which_cert_manager_is_asked_by_its_proxy(overlay):
    ingress, policies = of_kind(overlay, "Ingress")["gateway"], of_kind(overlay, "NetworkPolicy")
    solver = policies["web-certificate"]["spec"]

    assert "cert-manager.io/cluster-issuer" in ingress["metadata"]["annotations"] and ingress["spec"]["tls"]
    assert solver["podSelector"]["matchLabels"] == {"acme.cert-manager.io/http01-solver": "true"}
    assert solver["ingress"][0]["from"] == policies["web"]["spec"]["ingress"][0]["from"]
    assert solver["ingress"][0]["ports"] == [{"port": 8089}]


def test_google_gives_its_load_balancer_the_certificate_and_the_address_of_the_site():
    ingress, certificate = of_kind("gcp", "Ingress")["gateway"], of_kind("gcp", "ManagedCertificate")["gateway"]
    about = ingress["metadata"]["annotations"]

    assert about["networking.gke.io/managed-certificates"] == "gateway"
    assert certificate["spec"]["domains"] == [rule["host"] for rule in ingress["spec"]["rules"]]
    assert f"gcloud compute addresses create {about[STATIC_ADDRESS]} --global" in MANUAL
    assert not any(name.startswith(("cert-manager.io", "acme.")) for name in about) and "tls" not in ingress["spec"]
    assert "web-certificate" not in of_kind("gcp", "NetworkPolicy")


def test_traefik_leads_to_https_by_a_value_that_its_chart_knows():
    values = yaml.safe_load((kubernetes.MANIFESTS / "overlays/digitalocean/traefik-values.yaml").read_text())

    assert values["ports"]["web"]["http"]["redirections"]["entryPoint"]["to"] == "websecure"  # since chart 39


def test_the_manual_installs_tested_versions_of_what_must_be_in_the_cluster():
    installed = re.findall(r"helm upgrade --install (?:\\\n|.)*", MANUAL)

    assert len(installed) >= 5 and [command for command in installed if "--version " not in command] == []
    assert MANUAL.count("/releases/download/v") == 2 and "releases/latest" not in MANUAL


def assert_in_order(*steps):
    """Assert that the manual has all of these, one after the other."""
    found = [MANUAL.index(step) for step in steps]
    assert found == sorted(found)


def test_the_manual_makes_what_a_command_needs_before_that_command():
    assert_in_order(
        "apply -f deploy/kubernetes/base/namespace.yaml",  # into which the next one puts who runs MongoDB
        "--install mongodb-kubernetes",
        "--install external-secrets",
        "apply -f deploy/kubernetes/secret-store.yaml",
        "create secret generic ticketing",
        "docker push ghcr.io/YOU/ticketing-operator",
        "apply -k $OVERLAY",
        "python -m ops.operators add",
    )


def test_the_manual_restores_while_nothing_starts_a_program_again():
    assert_in_order(
        "annotate scaledobject --all autoscaling.keda.sh/paused-replicas=0",
        "scale deployment --all --replicas 0",
        "wait pod --selector pod-template-hash --for delete",
        "python -m ops.restore",
        "scale deployment --all --replicas 2",
        "annotate scaledobject --all autoscaling.keda.sh/paused-replicas-",
        "delete job migrate --ignore-not-found  ",
    )


def test_the_manual_names_files_and_jobs_that_exist():
    cronjobs = of_kind("production", "CronJob")
    paths = set(re.findall(r"deploy/(?:kubernetes|monitoring)[\w./-]*\w", MANUAL)) - {SECRETS}

    assert len(paths) > 10 and [path for path in paths if not (ROOT / path).exists()] == []
    assert set(re.findall(r"--from=cronjob/(\w+)", MANUAL)) == set(cronjobs)


def test_google_is_told_nothing_of_its_probe_that_it_does_not_know():
    probe = of_kind("gcp", "BackendConfig")["gateway"]["spec"]["healthCheck"]

    assert set(probe) <= {"type", "requestPath", "port", *PROBE_TIMES}  # of ingress-gce's HealthCheckConfig
    assert probe["requestPath"] == "/readyz"  # which it asks by an address, as no field gives it a name


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


@every_overlay
def test_rollout_does_not_fail_while_the_migration_runs(overlay):
    (migrate, *_) = re.findall(r"wait job/migrate --for condition=complete --timeout (\d+)m", WORKFLOW)
    deployments = [each for name, each in of_kind(overlay, "Deployment").items() if name in OURS]

    assert {each["spec"].get("progressDeadlineSeconds", 600) > int(migrate) * 60 for each in deployments} == {True}
    assert WORKFLOW.index("wait job/migrate") < WORKFLOW.index("rollout status")


@pytest.mark.parametrize(("overlay", "seconds"), [("production", 10), ("digitalocean", 10), ("gcp", 60)])
def test_gateway_ends_only_when_no_proxy_sends_it_requests_any_more(overlay, seconds):
    pod = pods(overlay)["gateway"]["spec"]
    held = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]

    assert held >= seconds
    assert pod["terminationGracePeriodSeconds"] >= held + 25  # graceful_timeout of gateway/gunicorn.conf.py


def test_redis_has_the_same_command_as_in_docker_compose():
    command = program_of(pods("dev")["redis"])["command"]

    assert command[-1].split() == CONTAINERS["redis"]["command"][-1].replace("$$", "$").split()


def test_servers_have_the_images_of_docker_compose():
    for server in SERVERS:
        assert CONTAINERS[server]["image"] in {each["image"] for each in containers(pods("dev")[server])}
    cluster = of_kind("production", "RabbitmqCluster")["rabbitmq"]["spec"]
    assert cluster["image"] == CONTAINERS["rabbitmq"]["image"] and cluster["replicas"] == 3


@cache
def addresses():
    """Return the settings of a production, as the manual has them made."""
    made = env.fill((ROOT / ".env.example").read_text(), generate())
    command = ["sed", "-E", "-f", kubernetes.MANIFESTS / "addresses.sed"]
    changed = subprocess.run(command, input=made, capture_output=True, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in changed.splitlines() if re.match(r"[A-Z]", line))


@pytest.mark.parametrize(("ending", "server"), [("_AMQP_URL", "rabbitmq"), ("_MONGO_URL", "mongo")])
def test_servers_have_certificates_for_the_names_by_which_programs_ask_for_them(ending, server):
    certified = of_kind("production", "Certificate")[server]["spec"]["dnsNames"]
    asked = [urlsplit(value) for name, value in addresses().items() if name.endswith(ending)]
    hosts = {host.partition(":")[0] for url in asked for host in url.netloc.partition("@")[2].split(",")}

    assert {url.scheme == "amqps" or "tls=true" in url.query for url in asked} == {True}
    assert hosts and [host for host in hosts if not any(is_for(name, host) for name in certified)] == []


def test_every_secret_of_production_is_made_by_the_commands_of_the_manual():
    given = [env for pod in pods("production").values() for each in containers(pod) for env in each["env"]]
    needed = {env["valueFrom"]["secretKeyRef"]["key"] for env in given if "secretKeyRef" in env.get("valueFrom", {})}

    assert "sed -E -i.bak -f deploy/kubernetes/addresses.sed production.env" in MANUAL
    assert needed <= set(addresses())
    assert not {"STRIPE_API_BASE", "GATEWAY_STRIPE_API_BASE"} & set(addresses())
    assert {urlsplit(addresses()[f"{name}_REDIS_URL"]).scheme for name in ("WORKER", "SCHEDULER", "EXPIRATION")} == {
        "redis+sentinel"
    }


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

    asks = dict.fromkeys(redis_users.PROGRAMS, redis_users.ASKS_SENTINEL)
    for script, users in (("redis.sh", redis_users.RULES), ("sentinel.sh", asks)):
        for name, rules in users.items():
            assert f'user {name} on >$(password "${name.upper()}_REDIS_URL") {rules}\n' in scripts[script]
    assert f"sentinel monitor {redis_users.PRIMARY} " in scripts["sentinel.sh"]


def test_redis_survives_the_loss_of_any_one_of_its_members():
    redis = of_kind("production", "StatefulSet")["redis"]["spec"]

    assert redis["replicas"] == 3
    assert of_kind("production", "PodDisruptionBudget")["redis"]["spec"]["maxUnavailable"] == 1
    assert {each["name"] for each in redis["template"]["spec"]["containers"]} == {"redis", "sentinel"}
