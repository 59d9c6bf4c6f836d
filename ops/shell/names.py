"""The names in the shell: the verbs, the services, and `n` as in nameko's own shell."""

from types import SimpleNamespace
from typing import Any

from ops.shell import change, find, internals  # noqa: F401 - they add their verbs
from ops.shell.direct import Direct
from ops.shell.operator_client import OperatorClient
from ops.shell.output import as_json
from ops.shell.verbs import VERBS, bound, helpdesk


def names(client: OperatorClient) -> dict[str, Any]:
    """Return everything by its name."""
    services = {name: Direct(service, name) for name, service in client.services.items()}
    return {
        **services,
        **{name: bound(each, client) for name, each in VERBS.items()},
        "n": SimpleNamespace(rpc=SimpleNamespace(**services)),
        "helpdesk": helpdesk,
        "as_json": lambda answer: print(as_json(answer)),
    }
