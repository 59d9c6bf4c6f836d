"""The three servers, really running."""

from kombu import Connection
from redis import Redis

from dev.stack import Stack, free_ports
from dev.stack.programs import nothing
from dev.stack.supervisor import members


def test_killed_server_comes_back_with_its_data_and_none_outlives_the_stack(stack_folder):
    with Stack(stack_folder, free_ports(), programs=nothing) as stack, Redis.from_url(stack.redis_url) as redis:
        redis.set("kept", "yes")
        first = stack.pid("redis")

        stack.kill("redis")
        stack.wait_ready("redis", 20)

        assert stack.pid("redis") != first
        assert redis.get("kept") == b"yes"

    assert members(stack_folder) == []


def test_each_test_gets_an_empty_vhost_database_and_redis(amqp_url, mongo, redis_url):
    with Connection(amqp_url) as broker, Redis.from_url(redis_url) as redis:
        assert broker.SimpleQueue("some").qsize() == 0
        assert mongo.list_collection_names() == []
        assert redis.dbsize() == 0
