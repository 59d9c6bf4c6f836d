"""Which modules may import which, and what no code may do to an aggregate; read from the source."""

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from dev.testing import syntax_nodes
from libs.contracts.events import CATALOGUE
from libs.contracts.parts import FOLLOWERS, PARTS, SERVICES
from ops.mongo_users import CHANGED

ROOT = Path(__file__).parent.parent
DOMAIN_FILES = {
    "payments": {"decisions", "disputes", "domain", "errors", "intent", "recording"},
    "tickets": {"domain", "event_identity", "words"},
}
"""The files with the rules of a part, where there are more than `domain.py`."""
SHARED = (
    "libs.contracts.attempts",
    "libs.contracts.errors",
    "libs.contracts.limits",
    "libs.contracts.texts",
    "libs.contracts.time_zones",
    "libs.errors",
)
"""What domains of several parts agree on; it imports nothing but the standard library."""
CURRENCIES = "libs.contracts.currencies"
PACKAGES = (*PARTS, "libs", "ops", "dev")
USER_CALLER = "libs.rpc.caller.CallerProvider"
PRODUCTION = [path for part in (*PARTS, "libs") for path in (ROOT / part).rglob("*.py") if "tests" not in path.parts]


def imported_modules(path):
    for node in syntax_nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


def imported(path):
    return (name.split(".")[0] for name in imported_modules(path))


def imported_files(path, part):
    """Yield the names of the files of the same part that a file imports."""
    for node in syntax_nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith(f"{part}."))
        elif isinstance(node, ast.ImportFrom) and node.module == part:
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module.startswith(f"{part}."):
            yield node.module.split(".")[1]


def own_modules():
    """Return every module of ours outside the tests, by its name."""
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "tests" not in path.parts]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def imported_of_ours(path, modules):
    """Yield the names of our modules that a file imports, be it for its annotations alone."""
    for node in syntax_nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from names & modules.keys() or {node.module} & modules.keys()


def called(path):
    for node in syntax_nodes(path):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr


@pytest.mark.parametrize("part", PARTS)
def test_no_part_imports_another_part(part):
    others = set(PARTS) - {part}

    for path in (ROOT / part).rglob("*.py"):
        assert not others & set(imported(path)), path


def test_libs_imports_no_part():
    for path in PRODUCTION:
        if path.is_relative_to(ROOT / "libs"):
            assert not set(PARTS) & set(imported(path)), path


def test_no_modules_import_each_other_in_a_circle():
    modules = own_modules()
    imports = {name: set(imported_of_ours(path, modules)) for name, path in modules.items()}

    assert len(list(TopologicalSorter(imports).static_order())) == len(modules)  # or CycleError names the circle


def test_only_dev_imports_dev_and_no_part_and_no_library_imports_ops():
    forbidden = {**dict.fromkeys((*PARTS, "libs"), {"dev", "ops"}), "ops": {"dev"}}

    for name, path in own_modules().items():
        assert not forbidden.get(name.split(".")[0], set()) & set(imported(path)), path


@pytest.mark.parametrize("part", SERVICES)
def test_a_domain_file_imports_only_the_standard_library_its_siblings_and_what_is_shared(part):
    files = DOMAIN_FILES.get(part, {"domain"})

    for path in (ROOT / part / f"{name}.py" for name in files):
        modules = {name for name in imported_modules(path) if name not in (*SHARED, CURRENCIES)}
        assert {name.split(".")[0] for name in modules} <= {*sys.stdlib_module_names, part}, path
        assert set(imported_files(path, part)) <= files, path


@pytest.mark.parametrize("name", SHARED)
def test_what_domains_share_imports_only_the_standard_library(name):
    assert set(imported(ROOT / f"{name.replace('.', '/')}.py")) <= sys.stdlib_module_names


def test_the_currencies_import_babel_and_the_limits_and_nothing_else_of_ours_or_of_others():
    modules = set(imported_modules(ROOT / f"{CURRENCIES.replace('.', '/')}.py"))

    assert {name for name in modules if name.split(".")[0] not in sys.stdlib_module_names} == {
        "libs.contracts.limits",
        "babel.numbers",
    }


def imported_names(path):
    """Yield what a file imports by its full names: of `from libs import metrics`, libs.metrics."""
    for node in syntax_nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_services_that_users_call_follow_which_sessions_have_ended():
    callable_by_users = {part for part in SERVICES if USER_CALLER in imported_names(ROOT / part / "service.py")}

    assert callable_by_users == {*FOLLOWERS} - {"gateway"}, "FOLLOWERS (libs/contracts/parts.py) lists them"


NEUTRAL = ("alarms", "clock", "context", "database", "errors", "metrics", "schema", "settings", "tracing")
"""What the library of events may import, apart from itself and `libs.amqp`; `dev` starts the servers of its tests."""
OF_EVENTS = tuple(f"libs.{name}." for name in ("events", "amqp", *NEUTRAL))


@pytest.mark.parametrize("path", sorted((ROOT / "libs" / "events").rglob("*.py")), ids=lambda path: path.stem)
def test_the_library_of_events_knows_nothing_of_this_application(path):
    allowed = (*OF_EVENTS, "dev.stack.", "dev.testing.") if "tests" in path.parts else OF_EVENTS
    ours = {name for name in imported_names(path) if name.split(".")[0] in (*PARTS, "libs", "dev", "ops", "tests")}

    assert not {name for name in ours if not f"{name}.".startswith(allowed)}
    words = set(re.findall(r"\w+", path.read_text()))
    assert not words & {*PARTS, *CATALOGUE}


@pytest.fixture(scope="module")
def loaded():
    """What programs load that serve pages or set up the broker, and what those and the others without nameko do."""
    shown = "print(*{name.split('.')[0] for name in sys.modules})"
    program = (
        f"import sys, gateway.app, ops.broker_setup; {shown}; "
        f"import expiration.scheduler, expiration.worker, ops.migrate; {shown}"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return [set(line.split()) for line in done.stdout.splitlines()]


@pytest.mark.lengthy
def test_neither_the_gateway_with_its_gevent_nor_a_job_nor_a_set_up_loads_eventlet(loaded):
    assert {"gateway", "expiration", "ops"} <= loaded[1]
    assert not {"eventlet", "nameko"} & loaded[1]


@pytest.mark.lengthy
def test_who_only_knows_the_events_loads_no_database_and_no_http_client(loaded):
    assert {"gateway", "ops"} <= loaded[0]
    assert not {"pymongo", "redis", "rq", "stripe", "requests"} & loaded[0]


def test_no_code_replaces_a_whole_document():
    replacing = {"replace_one", "find_one_and_replace", "ReplaceOne"}

    for path in PRODUCTION:
        assert not replacing & set(called(path)), path


def test_no_timer_stops_while_the_clock_is_set_back_as_those_of_nameko_do():
    importing = [path for path in PRODUCTION if "nameko.timer" in imported_modules(path)]

    assert importing == [ROOT / "libs" / "amqp" / "timer.py"]


ENTRYPOINTS = {"rpc", "timer", "handles", "handles_batches"}


def classes_with_entrypoints(path):
    for node in syntax_nodes(path):
        if isinstance(node, ast.ClassDef):
            decorators = [ast.unparse(each) for method in node.body for each in getattr(method, "decorator_list", [])]
            if ENTRYPOINTS & {name.partition("(")[0] for name in decorators}:
                yield node.name


@pytest.mark.parametrize("part", SERVICES)
def test_service_file_names_no_class_with_entrypoints_but_its_own(part):
    """`libs.service` takes each for a service of its own: import the module that has it, not the class."""
    path = ROOT / part / "service.py"
    own = {
        f"{folder}.{other.stem}": set(classes_with_entrypoints(other))
        for folder in (part, "libs")
        for other in (ROOT / folder).glob("*.py")
    }
    imported = [node for node in syntax_nodes(path) if isinstance(node, ast.ImportFrom)]

    assert not {alias.name for node in imported for alias in node.names if alias.name in own.get(node.module, ())}
    assert len(own[f"{part}.service"]) == 1


DATABASES = {"db", "database"}
"""What variables with a database are called."""
RECORD = {"operator_actions", "operator_outcomes"}


def collections_of(part):
    nodes = (node for path in PRODUCTION if path.is_relative_to(ROOT / part) for node in syntax_nodes(path))
    named = (node for node in nodes if isinstance(node, ast.Attribute))
    return {node.attr for node in named if ast.unparse(node.value).split(".")[-1] in DATABASES}


def test_auth_may_change_each_of_its_collections_but_the_record_of_operators():
    assert collections_of("auth") - {"client"} == RECORD | {*CHANGED["auth"]}


def test_the_test_command_runs_every_test_of_the_repository():
    testpaths = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["testpaths"]
    known = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*/test_*.py"]
    tests = subprocess.run(known, cwd=ROOT, capture_output=True, text=True, check=True)
    assert {path.split("/")[0] for path in tests.stdout.split()} == set(testpaths)


def test_nothing_reads_or_writes_pickle():
    for path in PRODUCTION:
        assert not {"pickle", "marshal", "shelve"} & set(imported(path)), path
