"""The rules and dashboards of deploy/monitoring are about metrics that exist, and each alert says what to do."""

import importlib
import json
import re
import subprocess

import pytest
import yaml
from prometheus_client.registry import REGISTRY

from dev.testing import ROOT
from tests.slow.test_alerts import PLANTED
from tests.test_compose import PROGRAMS

FOLDER = ROOT / "deploy/monitoring"
RULES = [
    rule
    for name in ("alerts", "objectives")
    for group in yaml.safe_load((FOLDER / f"rules/{name}.yml").read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
DASHBOARDS = sorted(FOLDER.glob("dashboards/*.json"))
OF_SERVERS = re.compile(r"(rabbitmq|mongodb|redis|process)_\w+|up|ALERTS|ticketing:[\w:]+")
OF_PROMQL = (
    "sum max avg_over_time by on le rate increase count and or unless absent group_left time vector"
    " histogram_quantile label_replace"
)


def expressions():
    yield from (rule["expr"] for rule in RULES)
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            yield from (target["expr"] for target in panel["targets"])


def metrics_in(expression):
    """Return the names of the metrics that an expression reads."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]|\b(by|on) \([^)]*\)', " ", expression)
    return set(re.findall(r"[a-zA-Z_][\w:]*", bare)) - set(OF_PROMQL.split())


def ours():
    """Return the names of the samples of all our metrics."""
    for part in ("gateway", "orders", "payments"):
        importlib.import_module(f"{part}.metrics")
    names = set()
    for family in REGISTRY.collect():
        names |= {f"{family.name}{suffix}" for suffix in ("", "_total", "_count", "_sum", "_bucket", "_created")}
    return names


def test_every_metric_that_a_rule_or_a_dashboard_reads_exists():
    known = ours()

    for expression in expressions():
        assert {name for name in metrics_in(expression) if not OF_SERVERS.fullmatch(name)} <= known, expression


@pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_and_leads_to_what_to_do(alert):
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^##+ (.*)$", (ROOT / "docs" / page.rpartition("/")[2]).read_text(), re.M)

    assert alert["labels"]["severity"] in ("page", "ticket") and alert["annotations"]["summary"]
    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


def test_every_alert_is_planted_in_the_tests_of_the_rules():
    tested = (FOLDER / "tests/alerts.yml").read_text()

    for alert in ALERTS:
        name = alert["alert"]
        assert f'"{name}"' in tested or f"{re.sub('(Fast|Slow)$', '', name)}(Fast|Slow)" in tested


def test_every_alert_is_planted_in_a_running_system():
    planted = [alert for alerts in PLANTED.values() for alert in alerts]

    assert sorted(planted) == sorted(rule["alert"] for rule in ALERTS)


def test_every_section_about_an_alert_names_it():
    page = (ROOT / "docs/operations.md").read_text()
    sections = dict(re.findall(r"^##+ ([^\n]*)\n\n(.*?)(?=\n##)", page, re.M | re.S))
    by_anchor = {heading.lower().replace(" ", "-"): text for heading, text in sections.items()}

    for alert in ALERTS:
        named = by_anchor[alert["annotations"]["runbook_url"].partition("#")[2]].partition(".")[0]
        assert re.sub("Burn(Fast|Slow)$", "…", alert["alert"]) in re.findall("`(.*?)`", named), alert["alert"]


def test_prometheus_asks_every_program_of_docker_compose():
    jobs = {each["job_name"] for each in yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]}

    assert jobs == {*PROGRAMS, "rabbitmq", "rabbitmq-alarms", "mongo", "redis"} - {"fake-stripe"}


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_can_be_read_by_grafana(path):
    dashboard = json.loads(path.read_text())
    ids = [panel["id"] for panel in dashboard["panels"]]

    assert dashboard["uid"] == path.stem and dashboard["title"] and dashboard["schemaVersion"] >= 39
    assert len(ids) == len(set(ids)) and ids
    assert all(panel["title"] and panel["targets"] for panel in dashboard["panels"])
    cells = [cell for panel in dashboard["panels"] for cell in cells_of(**panel["gridPos"])]
    assert len(cells) == len(set(cells)) and max(column for column, _ in cells) < 24
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} <= {f"${{{name}}}" for name in variables}


def cells_of(x, y, w, h):
    """Return the cells of Grafana's grid, 24 columns wide, that a panel covers."""
    return [(column, row) for column in range(x, x + w) for row in range(y, y + h)]


def test_make_check_runs_the_tests_of_the_rules():
    assert "promtool test rules deploy/monitoring/tests/*.yml" in (ROOT / "Makefile").read_text()


@pytest.mark.integration
@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_prometheus_understands_every_expression_of_a_dashboard(path, tmp_path):
    panels = json.loads(path.read_text())["panels"]
    read = [target["expr"].replace("$__rate_interval", "1m") for panel in panels for target in panel["targets"]]
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(read)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))

    checked = ["promtool", "check", "rules", str(tmp_path / "rules.yml")]
    assert subprocess.run(checked, capture_output=True, check=False).returncode == 0
