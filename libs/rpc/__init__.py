"""RPC in nameko's wire format, with deadlines, typed errors, and a third of the cost.

- `client`: one multiplexing client per process, for gateway, services, jobs and shells;
- `entrypoint`: the `rpc` decorator of our services, which answers quickly and begins no call after its deadline;
- `deadlines`: how a service makes sure that a caller still waits, however their clocks differ;
- `caller`: who is calling, from the token in the call's context, verified by each service itself.
"""

from libs.rpc.client import Client, RemoteError, ServiceUnavailable, own_token

__all__ = ["Client", "RemoteError", "ServiceUnavailable", "own_token"]
