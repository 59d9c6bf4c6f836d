"""What the shell offers, by name: the verbs, the services, and what nameko's shell calls `n`."""

from types import SimpleNamespace
from typing import Any

from ops.shell import change, find, machinery  # noqa: F401 - they add their verbs
from ops.shell.desk import Desk
from ops.shell.direct import Direct
from ops.shell.shown import as_json
from ops.shell.verbs import VERBS, bound, helpdesk


def names(desk: Desk) -> dict[str, Any]:
    """Return everything by its name."""
    services = {name: Direct(service, name) for name, service in desk.services.items()}
    return {
        **services,
        **{name: bound(each, desk) for name, each in VERBS.items()},
        "n": SimpleNamespace(rpc=SimpleNamespace(**services)),
        "helpdesk": helpdesk,
        "as_json": lambda answer: print(as_json(answer)),
    }
