"""The rq worker process: `python -m expiration.worker`. Runs due jobs in this process, which keeps its connections."""

from rq import SimpleWorker
from rq.serializers import JSONSerializer

from expiration.jobs import relaying
from expiration.schedule import QUEUE, JsonJob, connect
from libs import logs, metrics
from libs.settings import REDIS_FORM, parsed, required


def main() -> None:
    """Run until the process is stopped; refuses to start without its settings."""
    logs.set_up()
    for setting in ("EXPIRATION_AMQP_URL", "EXPIRATION_MONGO_URL"):
        required(setting)
    worker = SimpleWorker(
        [QUEUE], connection=parsed("REDIS_URL", connect, REDIS_FORM), job_class=JsonJob, serializer=JSONSerializer
    )
    metrics.serve()
    with relaying():
        worker.work(logging_level="WARNING")


if __name__ == "__main__":
    main()
