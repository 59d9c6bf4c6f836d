"""Pins the images of docker-compose.yml and docker/Dockerfile to digests: `make pin` (needs Docker and its registry).

`mongo:8.0` becomes `mongo:8.0@sha256:…`: the tag still says what it is, and the digest which build of it. Run again, it
replaces the digests by the newest ones of the same tags.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

FILES = (Path("docker-compose.yml"), Path("docker/Dockerfile"))
IMAGE = re.compile(r"^(\s*image: |FROM )(?!ticketing:)([\w./-]+:[\w.-]+)(@sha256:[0-9a-f]{64})?(?=\s|$)", re.M)


def pinned(text: str, digest_of: Callable[[str], str]) -> str:
    """Return a file's text with the digest of each image that is not ours behind its tag."""
    return IMAGE.sub(lambda found: f"{found[1]}{found[2]}@{digest_of(found[2])}", text)


def digest_of(image: str) -> str:
    """Return the registry's digest of an image for all platforms; end with Docker's message when there is none."""
    command = ["docker", "buildx", "imagetools", "inspect", image, "--format", "{{.Manifest.Digest}}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{image} cannot be looked up: {done.stderr.strip()}")
    return done.stdout.strip()


def main() -> None:
    """Pin the images in all files."""
    for path in FILES:
        path.write_text(pinned(path.read_text(), digest_of))


if __name__ == "__main__":
    main()
