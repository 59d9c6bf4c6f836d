"""Create the settings of the containers: `python -m dev.env` writes .env from .env.example, with new secrets in it.

Only its owner can read the file. An existing file keeps every line, because existing data needs its secrets. Additions
that this version needs are made: settings that are missing, and users in the addresses of MongoDB.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from dev.secrets import broker_password, generate
from ops import private_files

ROOT = Path(__file__).parents[1]
PLACEHOLDER = "changeme"
SETTING = re.compile(r"^(\w+)=(.*)$", re.M)
WITHOUT_USER = re.compile(r"^(\w+_MONGO_URL)=mongodb://([^@]*)$")


def main() -> None:
    """Write the file named on the command line, or .env; if it exists, add the missing settings to it."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".env"
    example = fill((ROOT / ".env.example").read_text(), generate())
    try:
        print(write(path, example))
    except OSError as problem:
        sys.exit(f"nothing was written: {problem}")


def write(path: Path, example: str) -> str:
    """Write the settings of a filled `example` to a file, or those that it lacks; return a summary."""
    if not path.exists():
        private_files.create(path, example)
        return f"wrote {path}"
    kept = path.read_text()
    whole = complete(kept, example)
    if whole == kept:
        return f"{path} already exists and lacks nothing"
    private_files.replace(path, whole)
    return f"added to {path} what it lacked; everything else in it is as it was"


def complete(kept: str, example: str) -> str:
    """Return the settings `kept` with those of a filled `example` that they lack.

    Until 0.2 the addresses of MongoDB had no user: they get that of the example.
    """
    new = dict(SETTING.findall(example))
    lines = [WITHOUT_USER.sub(lambda found: _with_user(found, new), line) for line in kept.splitlines()]
    lines += [f"{name}={value}" for name, value in new.items() if name not in dict(SETTING.findall(kept))]
    return "\n".join(lines) + "\n"


def _with_user(found: re.Match[str], new: Mapping[str, str]) -> str:
    user = urlsplit(new[found[1]]).netloc.rpartition("@")[0]
    return f"{found[1]}=mongodb://{user}@{found[2]}"


def fill(example: str, secrets: Mapping[str, str]) -> str:
    """Return `example` with each placeholder replaced: by the secret of that name, in a URL by the user's password."""
    return "".join(_fill_line(line, secrets) for line in example.splitlines(keepends=True))


def _fill_line(line: str, secrets: Mapping[str, str]) -> str:
    setting = re.match(r"(\w+)=((\w+)://)?", line)
    if setting is None or PLACEHOLDER not in line:
        return line
    scheme, name = setting[3], setting[1]
    if scheme == "amqp":
        name = broker_password(name.removesuffix("_AMQP_URL"))
    elif scheme in ("mongodb", "redis"):
        name = name.removesuffix("URL") + "PASSWORD"
    return line.replace(PLACEHOLDER, secrets[name])


if __name__ == "__main__":
    main()
