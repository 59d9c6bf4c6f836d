from types import SimpleNamespace

from libs.amqp import QueueConsumer


def test_what_is_logged_of_lost_brokers_has_no_password_in_it(caplog):
    consumer = QueueConsumer()
    consumer.container = SimpleNamespace(config={"AMQP_URI": "amqp://ana:secret@one/;amqp://ana:secret@two/"})

    consumer.on_connection_error(ConnectionRefusedError("nobody listens"), 1)

    assert "nobody listens" in caplog.text
    assert "secret" not in caplog.text
