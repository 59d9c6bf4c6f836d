"""Manage operators: `python -m ops.operators key NAME FILE`, `add PUBLIC_KEY`, `remove NAME` or `list`.

`key` makes a signing key on its owner's machine: the private half goes into FILE, which only they can read, and the
public half is printed. The others are for an administrator and change auth's database (AUTH_MONGO_URL): to add the
first operator, and to replace or remove anybody's key. Operators themselves have `add_operator` in their shell, for new
operators and for their own key, and `remove_operator` for themselves. All take effect at once, without a restart, and
are recorded.
"""

import argparse
import logging
import os
import sys
import uuid
from pathlib import Path

from auth.operator_store import OperatorStore
from libs import context, logs
from libs.database import connect
from libs.settings import MONGO_FORM, parsed
from libs.tokens import OPERATOR, OPERATOR_NAME, Claims, InvalidKey, new_key, operator_key
from ops import private_files

ADMINISTRATOR = "administrator"

log = logging.getLogger("ops.operators")


def main() -> None:
    """Run the command; exit with a message and code 1 if that fails."""
    parser = argparse.ArgumentParser(prog="python -m ops.operators", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    key = commands.add_parser("key", help="make a signing key, and print its public half")
    key.add_argument("name")
    key.add_argument("file", type=Path)
    commands.add_parser("add", help="let the owner of a key operate").add_argument("public_key")
    commands.add_parser("remove", help="let somebody operate no longer").add_argument("name")
    commands.add_parser("list", help="print the operators")
    options = parser.parse_args()
    if options.command == "key":
        print(make_key(options.name, options.file))
        return
    operators = OperatorStore(parsed("AUTH_MONGO_URL", connect, MONGO_FORM))
    match options.command:
        case "add":
            print(f"{add(operators, options.public_key)} may operate")
        case "remove":
            is_gone = remove(operators, options.name)
            print(f"{options.name} may operate no longer" if is_gone else f"{options.name} was no operator")
        case "list":
            for found in operators.all():
                print(f"{found['name']:<20} since {found['added_at']:%Y-%m-%d}, by {found['added_by']}")


def make_key(name: str, path: Path) -> str:
    """Write the private half of a new key to a file that only its owner can read; return the public half.

    Exits if the name is invalid or the file exists.
    """
    check_name(name)
    private, public = new_key(f"{OPERATOR}:{name}")
    try:
        private_files.create(path, f"{private}\n")
    except FileExistsError:
        sys.exit(f"{path} exists and is left unchanged")
    except OSError as problem:
        sys.exit(f"there is no key: {problem}")
    return public


def check_name(name: str) -> None:
    """Exit with the rule for names when this is not one."""
    if not OPERATOR_NAME.fullmatch(name):
        rule = "small letters, digits, '.', '_' and '-', at most 40, beginning with a letter"
        sys.exit(f"{name} is no name: {rule}, and not {ADMINISTRATOR}")


def add(operators: OperatorStore, public_key: str) -> str:
    """Let the owner of a key operate, by an administrator; return their name. Exits when the key is invalid."""
    try:
        name, key = operator_key(public_key)
    except InvalidKey:
        sys.exit("that is no public key of an operator: operator:NAME=BASE64, of 32 bytes")
    action = _begun(operators, "add", public_key=key)
    operators.add(name, key, ADMINISTRATOR)
    operators.end(action, "ops", "success")
    return name


def remove(operators: OperatorStore, name: str) -> bool:
    """Remove an operator, by an administrator; return whether there was one."""
    action = _begun(operators, "remove", name=name)
    is_gone = operators.remove(name)
    operators.end(action, "ops", "success")
    return is_gone


def _begun(operators: OperatorStore, command: str, **arguments: str) -> str:
    """Record an administrator's action before it begins; return its id."""
    action = uuid.uuid4().hex
    with context.work(client=os.uname().nodename):
        operators.begin(Claims(OPERATOR, ADMINISTRATOR, action, 0, 0), f"ops.{command}_operator", arguments)
    return action


if __name__ == "__main__":
    logs.run(main)
