# Changes the addresses that `make env` writes to those of overlays/production: sed -E -i.bak -f addresses.sed production.env
s|^([A-Z]+_AMQP_URL=)amqp://(.*)@.*|\1amqps://\2@rabbitmq.ticketing.svc:5671/|
/^[A-Z]+_MONGO_URL=/s|@.*/(.*)\?.*|@mongo-0.mongo-svc.ticketing.svc.cluster.local:27017,mongo-1.mongo-svc.ticketing.svc.cluster.local:27017,mongo-2.mongo-svc.ticketing.svc.cluster.local:27017/\1?replicaSet=mongo\&tls=true|
s|^([A-Z]+_REDIS_URL=)redis://(.*)@.*|\1redis+sentinel://\2@redis-0.redis:26379,redis-1.redis:26379,redis-2.redis:26379/ticketing/|
/^(GATEWAY_)?STRIPE_API_BASE=/d
