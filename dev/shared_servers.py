"""One set of servers for all processes of a test run: the first that needs them starts them, the last stops them.

`python -m dev.shared_servers FOLDER` runs the servers until no process holds the lock FOLDER/users any more. The kernel
releases that lock when a process ends, however it ends: neither Ctrl-C nor a killed process leaves servers behind.
"""

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.stack import Stack, StackError, free_ports
from dev.stack.programs import no_programs
from dev.stack.supervisor import ROOT, wait_until

READY, FAILED = "ready", "failed"  # marker files
START_SECONDS = 90
STOP_SECONDS = 30


class SharedServers:
    """The servers of the test run whose processes share `folder`; they run at least until this object is closed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._users = open(folder / "users", "a")  # noqa: SIM115 - held until close, or until this process ends
        fcntl.flock(self._users, fcntl.LOCK_SH)
        self._process: subprocess.Popen[bytes] | None = None

    def stack(self) -> Stack:
        """Return the servers, started if they do not run yet; raise StackError when they do not start."""
        with locked(self.folder / "starting"):
            if not self._log.exists():
                self._start()
        wait_until(lambda: self._ready.exists() or self._failed.exists(), START_SECONDS)
        if not self._ready.exists():
            raise StackError(f"the servers of the tests did not start:\n{self._log.read_text()}")
        return Stack.join(self.folder / "servers")

    def close(self, last: bool) -> None:
        """Release the servers; the `last` process of the run waits until they have stopped, and removes the folder."""
        self._users.close()
        if last:
            if self._log.exists():
                wait_until(lambda: not self.folder.exists(), STOP_SECONDS)
            if self._process is not None:
                self._process.wait(STOP_SECONDS)
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    @property
    def _ready(self) -> Path:
        return self.folder / READY

    @property
    def _failed(self) -> Path:
        return self.folder / FAILED

    def _start(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dev.shared_servers", self.folder],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches only the tests
            )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time run the block."""
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(folder: Path) -> None:
    """Run the servers until no process uses them; remove the folder."""
    with (folder / "users").open() as users:
        try:
            with Stack(folder / "servers", free_ports(), programs=no_programs):
                (folder / READY).touch()
                fcntl.flock(users, fcntl.LOCK_EX)
        except StackError as error:
            print(error, flush=True)
            (folder / FAILED).touch()
            fcntl.flock(users, fcntl.LOCK_EX)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
