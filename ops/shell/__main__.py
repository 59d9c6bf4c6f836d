"""The operator's shell: `python -m ops.shell`. nameko's own, with the operators' verbs, and without its banner.

The banner would print the broker's address with its password. nameko's own `n` would declare the exchange of all calls,
which no operator may; ours calls by our own client.

In a pipe it prints answers as JSON, goes on after an error, and ends with the status 1 if there was one.
"""

import sys
from typing import Any

from nameko.cli.shell import ShellRunner

from ops.shell.console import Console
from ops.shell.names import names
from ops.shell.operator_client import open_operator_client

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
    """Run until the user leaves; the command line may name an interface (plain, ipython, bpython)."""
    client = open_operator_client()
    offered: dict[str, Any] = names(client)
    runner = Runner(BANNER, offered)
    runner.start_shell(name=next(iter(sys.argv[1:]), None))
    if not sys.stdin.isatty():
        sys.exit(runner.status or int(bool(client.unreachable)))


if __name__ == "__main__":
    main()
