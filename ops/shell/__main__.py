"""The operator's shell: `python -m ops.shell`. nameko's own, with the desk's functions, and without its banner.

That would print the broker's address with its password.
"""

import sys
from typing import Any

from nameko.cli.shell import ShellRunner, make_nameko_helper

from libs.logs import without_passwords
from libs.settings import AMQP_FORM, amqp_url, parsed
from ops.shell.desk import HELP, names


def main() -> None:
    """Run until its user leaves; the name of an interface (plain, ipython, bpython) may follow on the command line."""
    ShellRunner(HELP, {"n": helper(), **names()}).start_shell(name=next(iter(sys.argv[1:]), None))


def helper() -> Any:
    """Return nameko's `n`, which shows no password."""
    url = parsed("OPERATOR_AMQP_URL", amqp_url, AMQP_FORM)
    n = make_nameko_helper({"AMQP_URI": url})
    n.config = {"AMQP_URI": without_passwords(url)}
    return n


if __name__ == "__main__":
    main()
