"""The type of durable queues: classic, or quorum for a cluster, by the setting QUEUE_TYPE.

On one node a classic queue with confirms is as safe as a quorum queue and has no leader to lose. In a cluster a classic
queue is unavailable with its node, and a quorum queue stays available while most of the nodes do.
"""

from typing import Any

from libs import settings


def queue_type() -> dict[str, Any]:
    """Return the queue arguments for the setting's type; refuse to start if the setting is malformed."""
    return {"x-queue-type": "quorum"} if settings.queue_type() == "quorum" else {}
