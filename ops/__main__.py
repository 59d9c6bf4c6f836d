"""The operators' verbs for scripts: `python -m ops VERB …`, made from the same functions as the shell.

Answers are tables on a terminal and JSON elsewhere. The exit status is 0 on success, 1 if the command was refused or
failed, 2 if its arguments are invalid, and 3 if a service did not answer, even if others did.
"""

import argparse
import inspect
import sys
from typing import Any

from libs.rpc import ServiceUnavailable
from ops.shell import change, find, internals  # noqa: F401 - they add their verbs
from ops.shell.console import EXPECTED, error_message
from ops.shell.operator_client import OperatorClient, open_operator_client
from ops.shell.output import OPTIONS, format_answer
from ops.shell.verbs import VERBS, Ids, Verb, bound

DONE, REFUSED, UNREACHABLE = 0, 1, 3


def main() -> None:
    """Run the command line."""
    options = vars(parser().parse_args())
    each, yes = VERBS[options.pop("verb")], options.pop("yes", False)
    OPTIONS["json"] = options.pop("json")
    sys.exit(run(each, options, yes, open_operator_client()))


def run(each: Verb, given: dict[str, Any], yes: bool, client: OperatorClient) -> int:
    """Run a verb with the arguments of the command line and print the answer; return the exit status."""
    many = [one.name for one in each.parameters if one.kind is one.VAR_POSITIONAL]
    listed = [value for name in many for value in given.pop(name)]
    try:
        print(format_answer(bound(each, client)(*listed, yes=yes, **given)))
    except ServiceUnavailable as error:
        print(error_message(error), file=sys.stderr)
        return UNREACHABLE
    except EXPECTED as error:
        print(error_message(error), file=sys.stderr)
        return REFUSED
    return UNREACHABLE if client.unreachable else DONE


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line: one command for each verb."""
    made = argparse.ArgumentParser(prog="python -m ops", description=__doc__)
    commands = made.add_subparsers(dest="verb", required=True, metavar="VERB")
    for each in VERBS.values():
        command = commands.add_parser(each.name, help=each.summary, description=inspect.getdoc(each.function))
        for parameter in each.parameters:
            _add(command, parameter)
        command.add_argument("--json", action="store_true", help="print JSON on a terminal, too")
        if each.changes:
            command.add_argument("--yes", action="store_true", help="do not ask")
    return made


def _add(command: argparse.ArgumentParser, parameter: inspect.Parameter) -> None:
    kind = int if parameter.annotation is int else str
    if parameter.kind is parameter.VAR_POSITIONAL:
        command.add_argument(parameter.name, nargs="*", type=kind)
    elif parameter.default == "":
        command.add_argument(parameter.name, type=kind, nargs="?", default="")
    elif parameter.default is parameter.empty and parameter.kind is not parameter.KEYWORD_ONLY:
        command.add_argument(parameter.name, type=kind)
    else:
        required = parameter.default is parameter.empty
        many: dict[str, Any] = {"nargs": "+"} if parameter.annotation == Ids else {"type": kind}
        default = None if required else parameter.default
        command.add_argument(f"--{parameter.name}", required=required, default=default, **many)


if __name__ == "__main__":
    main()
