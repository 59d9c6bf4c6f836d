"""Create the settings of the containers: `python -m dev.env` writes .env from .env.example, with new secrets in it.

Only its owner can read the file. An existing file is never changed, because existing data needs its secrets.
"""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from dev.stack.secrets import broker_password, generate

ROOT = Path(__file__).parents[1]
PLACEHOLDER = "changeme"


def main() -> None:
    """Write the file that the command line names, or .env; exit with a message when it exists."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".env"
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(filled((ROOT / ".env.example").read_text(), generate()))
    except FileExistsError:
        sys.exit(f"{path} already exists and is left unchanged: existing data needs its secrets")
    print(f"wrote {path}")


def filled(example: str, secrets: Mapping[str, str]) -> str:
    """Return `example` with each placeholder replaced: by the secret of that name, in a URL by the user's password."""
    return "".join(_filled_line(line, secrets) for line in example.splitlines(keepends=True))


def _filled_line(line: str, secrets: Mapping[str, str]) -> str:
    setting = re.match(r"(\w+)=((\w+)://)?", line)
    if setting is None or PLACEHOLDER not in line:
        return line
    scheme, name = setting[3], setting[1]
    if scheme == "amqp":
        name = broker_password(name.removesuffix("_AMQP_URL"))
    elif scheme == "redis":
        name = "REDIS_PASSWORD"
    return line.replace(PLACEHOLDER, secrets[name])


if __name__ == "__main__":
    main()
