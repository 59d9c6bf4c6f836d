"""The operator's shell: `python -m ops.shell`. nameko's own, with the desk's functions, and without its banner.

That would print the broker's address with its password.
"""

import sys
from typing import Any

from nameko.cli.shell import ShellRunner, make_nameko_helper

from libs.amqp.connection import tls_options
from libs.logs import without_passwords
from libs.settings import AMQP_FORM, amqp_url, parsed
from ops.shell.desk import HELP, names


def main() -> None:
    """Run until its user leaves; the name of an interface (plain, ipython, bpython) may follow on the command line."""
    n = helper(parsed("OPERATOR_AMQP_URL", amqp_url, AMQP_FORM))
    ShellRunner(HELP, {"n": n, **names()}).start_shell(name=next(iter(sys.argv[1:]), None))


def helper(url: str) -> Any:
    """Return nameko's `n` for the broker at an address; it shows no password."""
    n = make_nameko_helper({"AMQP_URI": url, "AMQP_SSL": tls_options(url)})
    n.config = {"AMQP_URI": without_passwords(url)}
    return n


if __name__ == "__main__":
    main()
