"""Celery on RabbitMQ. Reliable: late acknowledgements, also when a worker is lost, no prefetching, publisher confirms.

https://docs.celeryq.dev/en/stable/faq.html#should-i-use-retry-or-acks-late
"""

from celery import Celery

from dev.bench.peers import work

app = Celery("bench", broker=work.AMQP_URL)
app.conf.update(task_ignore_result=True)
if work.RELIABLE:
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        broker_transport_options={"confirm_publish": True},
    )


@app.task(name="handle")
def handle(ident: str) -> None:
    """Store the effect."""
    work.handle(ident)


if __name__ == "__main__":
    work.produce(handle.delay)
