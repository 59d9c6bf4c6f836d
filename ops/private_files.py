"""Files with secrets, which only their owner can read, from their first byte on."""

import os
from pathlib import Path


def create(path: Path, text: str) -> None:
    """Write a new file; raise FileExistsError when there is one."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def replace(path: Path, text: str) -> None:
    """Write a file, in one step in place of the one that may be there."""
    draft = path.with_name(f"{path.name}.draft")
    draft.unlink(missing_ok=True)
    create(draft, text)
    draft.rename(path)
