"""Files with secrets, which only their owner can read from the moment they are created."""

import os
from pathlib import Path


def create(path: Path, text: str) -> None:
    """Write a new file; raise FileExistsError when there is one."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def replace(path: Path, text: str) -> None:
    """Write a file atomically, replacing any existing one."""
    draft = path.with_name(f"{path.name}.draft")
    draft.unlink(missing_ok=True)
    create(draft, text)
    draft.rename(path)
