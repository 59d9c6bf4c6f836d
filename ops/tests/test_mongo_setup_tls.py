"""The set-up of a mongod that accepts nothing but TLS."""

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from dev.secrets import generate, mongo_password
from dev.stack import free_ports
from dev.stack.servers import answers, mongo
from dev.testing import ROOT, self_signed, stack_folder, wait_for
from libs.contracts.parts import MONGO_USERS, SERVICES
from libs.database import connect

pytestmark = pytest.mark.integration


@contextmanager
def encrypted_mongod(folder, port, secrets):
    """Run a mongod with TLS alone; yield the file of its certificate, which is for 127.0.0.1."""
    certificate, key = self_signed(folder)
    (folder / "both.pem").write_text(certificate.read_text() + key.read_text())
    (folder / "mongo").mkdir()
    command = mongo(folder / "mongo", port, secrets).command
    tls = ["--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(folder / "both.pem")]
    process = subprocess.Popen([*command, *tls], stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: answers(port), 30)
        yield certificate
    finally:
        process.terminate()
        process.wait(20)


def test_mongod_is_set_up_over_tls_by_the_settings_of_the_services(monkeypatch):
    secrets, port = generate(), free_ports().mongo
    member = f"127.0.0.1:{port}"
    urls = {
        name: f"mongodb://{name}:{secrets[mongo_password(name)]}@{member}/{database}?replicaSet=rs0&tls=true"
        for name, database in ((name, name if name in SERVICES else "admin") for name in MONGO_USERS)
    }
    settings = {f"{name.upper()}_MONGO_URL": url for name, url in urls.items()}
    settings |= {name: secrets[name] for name in ("MONGO_PASSWORD", "MIGRATE_MONGO_PASSWORD")}
    with stack_folder() as folder, encrypted_mongod(folder, port, secrets) as certificate:
        monkeypatch.setenv("MONGO_CA_FILE", str(certificate))
        command, environ = [sys.executable, "-m", "ops.mongo_setup", member], {**os.environ, **settings}
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=90, check=False)

        assert done.returncode == 0, done.stderr
        with connect(urls["auth"]).client as client:
            assert client.auth.users.find_one() is None
