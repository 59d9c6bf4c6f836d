"""Pins images to digests, and the actions of workflows to commits: `make pin` (needs Docker, git and the registries).

`mongo:8.0` becomes `mongo:8.0@sha256:…`: the tag still says what it is, and the digest which build of it. An action
`actions/checkout@v5` becomes `actions/checkout@<commit>  # v5`. Run again, it replaces them by the newest of the same
tags.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

FILES = (
    Path("docker-compose.yml"),
    Path("docker/Dockerfile"),
    Path("deploy/kubernetes/components/exporters/exporters.yaml"),
    Path("deploy/kubernetes/components/mongo/mongo.yaml"),
    Path("deploy/kubernetes/components/rabbitmq/rabbitmq.yaml"),
    Path("deploy/kubernetes/components/redis/redis.yaml"),
    Path("deploy/kubernetes/components/redis-sentinel/redis.yaml"),
    Path("deploy/kubernetes/overlays/production/rabbitmq.yaml"),
)
WORKFLOWS = Path(".github/workflows")
SECONDS = 60
IMAGE = re.compile(r"^(\s*image: |FROM )(?!ticketing[:-])([\w./-]+:[\w.-]+)(@sha256:[0-9a-f]{64})?(?=\s|$)", re.M)

ACTION = re.compile(r"(uses: )([\w./-]+)@([\w.-]+)(?:  # (\S+))?$", re.M)


def pin(text: str, digest_of: Callable[[str], str]) -> str:
    """Return a file's text with the digest of each image that is not ours behind its tag."""
    return IMAGE.sub(lambda found: f"{found[1]}{found[2]}@{digest_of(found[2])}", text)


def digest_of(image: str) -> str:
    """Return the registry's digest of an image for all platforms; end with Docker's message when there is none."""
    command = ["docker", "buildx", "imagetools", "inspect", image, "--format", "{{.Manifest.Digest}}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{image} cannot be looked up: {done.stderr.strip()}")
    return done.stdout.strip()


def pin_actions(text: str, commit_of: Callable[[str, str], str]) -> str:
    """Return a workflow's text with the commit of each action's tag, and the tag behind it as a comment."""

    def pin(found: re.Match[str]) -> str:
        tag = found[4] or found[3]
        return f"{found[1]}{found[2]}@{commit_of(found[2], tag)}  # {tag}"

    return ACTION.sub(pin, text)


def commit_of(action: str, tag: str) -> str:
    """Return the commit of a tag of the repository that an action is in; end with git's message when there is none."""
    repository = "/".join(action.split("/")[:2])
    wanted = [f"refs/tags/{tag}", f"refs/tags/{tag}^{{}}"]  # of an annotated tag the second is the commit
    command = ["git", "ls-remote", f"https://github.com/{repository}", *wanted]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode or not done.stdout:
        sys.exit(f"{action}@{tag} cannot be looked up: {done.stderr.strip() or 'no such tag'}")
    return done.stdout.splitlines()[-1].split()[0]


def main() -> None:
    """Pin the images and actions in all files."""
    for path in FILES:
        path.write_text(pin(path.read_text(), digest_of))
    for path in sorted(WORKFLOWS.glob("*.yml")):
        path.write_text(pin_actions(path.read_text(), commit_of))


if __name__ == "__main__":
    main()
