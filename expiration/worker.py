"""The rq worker process: `python -m expiration.worker`. Runs due jobs in this process, which keeps its connections."""

from rq import SimpleWorker
from rq.serializers import JSONSerializer

from expiration.jobs import relaying
from expiration.schedule import QUEUE, JsonJob
from libs import logs, metrics
from libs.redis import connect
from libs.settings import AMQP_FORM, REDIS_FORM, amqp_url, check_common, parsed, required


def main() -> None:
    """Run until the process is stopped; refuses to start without its settings."""
    check_common()
    required("EXPIRATION_MONGO_URL")
    parsed("EXPIRATION_AMQP_URL", amqp_url, AMQP_FORM)
    connection = parsed("WORKER_REDIS_URL", connect, REDIS_FORM)
    worker = SimpleWorker([QUEUE], connection=connection, job_class=JsonJob, serializer=JSONSerializer)
    metrics.serve()
    with relaying():
        worker.work(logging_level="WARNING")


if __name__ == "__main__":
    logs.run(main)
