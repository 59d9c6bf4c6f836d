"""The operator's shell: `python -m ops.shell`. nameko's own, with the desk's functions, and without its banner.

That would print the broker's address with its password. Nor is nameko's `n` here, whose clients declare the exchange of
all calls, which no operator may: the desk's does the same by our own client.

In a pipe it prints answers as JSON, goes on after an error, and ends with the status 1 if there was one.
"""

import sys
from typing import Any

from nameko.cli.shell import ShellRunner

from ops.shell.console import Console
from ops.shell.desk import open_desk
from ops.shell.names import names

BANNER = "An operator's shell. helpdesk() lists what it offers; the tab key completes; Ctrl-D leaves."


class Runner(ShellRunner):
    """nameko's, with a console of ours where neither IPython nor bpython is used."""

    status = 0

    def plain(self) -> None:
        """Run the console."""
        console = Console(self.local)
        console.run(self.banner)
        self.status = int(console.has_failed)


def main() -> None:
    """Run until its user leaves; the name of an interface (plain, ipython, bpython) may follow on the command line."""
    desk = open_desk()
    offered: dict[str, Any] = names(desk)
    runner = Runner(BANNER, offered)
    runner.start_shell(name=next(iter(sys.argv[1:]), None))
    if not sys.stdin.isatty():
        sys.exit(runner.status or int(bool(desk.unreachable)))


if __name__ == "__main__":
    main()
