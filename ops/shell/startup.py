"""Fills the operator's nameko shell: `make shell` names this file in PYTHONSTARTUP."""

from ops.shell.desk import HELP, names

globals().update(names())
print(HELP)
