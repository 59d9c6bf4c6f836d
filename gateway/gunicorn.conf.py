"""How gunicorn runs the gateway: `gunicorn -c gateway/gunicorn.conf.py "gateway.app:create_app()"`."""

import os

bind = f"{os.environ.get('GATEWAY_HOST', '127.0.0.1')}:{os.environ.get('GATEWAY_PORT', '8000')}"
worker_class = "gevent"
workers = 2
worker_connections = 1000
preload_app = False  # each worker makes its own connections, after the fork and after gevent's patching
timeout = 30  # a worker whose hub is stuck for so long is replaced
graceful_timeout = 25  # a payment may take 15 s, and 5 s more for its outcome
keepalive = 5
accesslog = "-"
errorlog = "-"
loglevel = os.environ.get("LOG_LEVEL", "INFO").lower()
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(b)s %(M)sms request=%({x-request-id}o)s'
