import shlex
import subprocess
import sys
from contextlib import closing

import pytest

from auth.operator_store import OperatorStore
from dev.stack import operators
from dev.stack.supervisor import ROOT
from libs.database import connect
from libs.tokens import Signer, verify_operator


@pytest.fixture
def known(servers):
    """The operators of the running servers, as auth would know them; olga is none of them afterwards."""
    database = connect(servers.mongo_url("auth"))
    with closing(database.client):
        yield OperatorStore(database)
        OperatorStore(database).remove("olga")


def stack(servers, *words):
    """Run the stack's command line, as make does."""
    command = [sys.executable, "-m", "dev.stack", "--folder", servers.folder, *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_who_is_made_an_operator_gets_the_settings_of_a_shell_with_their_own_key(servers, known):
    refused = stack(servers, "env", "olga")
    made = stack(servers, "operator", "olga")
    settings = dict(shlex.split(line)[1].split("=", 1) for line in stack(servers, "env", "olga").stdout.splitlines())

    assert "`make operator NAME=olga` changes that" in refused.stderr and refused.returncode == 1
    assert made.stdout == "olga may operate: `make shell NAME=olga`\n"
    token = Signer(settings.pop("OPERATOR_SIGNING_KEY")).mint_call("orders.snapshot")
    assert verify_operator(token, known.public_key("olga")).subject == "olga"
    assert list(settings) == ["OPERATOR_AMQP_URL", "OPERATOR_RESTART_COMMAND", "PYTHONWARNINGS"]


def test_a_new_key_of_an_operator_replaces_the_one_before(servers, known):
    first, second = (Signer(operators.make_operator(servers, "olga")) for _ in range(2))

    assert known.public_key("olga") == second.public_key != first.public_key


def test_what_is_no_name_deletes_no_file(servers, tmp_path):
    kept = servers.folder / "kept.key"
    kept.touch()

    with pytest.raises(SystemExit, match="is no name"):
        operators.make_operator(servers, "../kept")

    assert kept.exists()
