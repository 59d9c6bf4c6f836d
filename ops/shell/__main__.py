"""The operator's shell: `python -m ops.shell`. nameko's own, with the desk's functions, and without its banner.

That would print the broker's address with its password. Nor is nameko's `n` here, whose clients declare the exchange of
all calls, which no operator may: the desk's does the same by our own client.
"""

import sys

from nameko.cli.shell import ShellRunner

from ops.shell.desk import HELP, names


def main() -> None:
    """Run until its user leaves; the name of an interface (plain, ipython, bpython) may follow on the command line."""
    ShellRunner(HELP, names()).start_shell(name=next(iter(sys.argv[1:]), None))


if __name__ == "__main__":
    main()
