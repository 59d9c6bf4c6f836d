. /scripts/common.sh
cat > /tmp/users.acl <<END
user default off ~* &* +@all
user ticketing on >$REDISCLI_AUTH ~* &* +@all
user expiration on >$(password "$EXPIRATION_REDIS_URL") ~rq:* +@connection +@transaction +@keyspace +@read +@write -@dangerous
user scheduler on >$(password "$SCHEDULER_REDIS_URL") ~rq:* +@connection +@transaction +@keyspace +@read +@write -@dangerous +info
user worker on >$(password "$WORKER_REDIS_URL") ~rq:* &rq:* +@connection +@transaction +@keyspace +@read +@write +@pubsub -@dangerous +info
user monitor on >$(password "$MONITOR_REDIS_URL") +info +client|setname
END
grep -Evq '^user (default off|ticketing on >[^[:space:]]+|[a-z]+ on >[A-Za-z0-9._~!$&()*+,;=:-]+) [~+&]' /tmp/users.acl && echo "a password in a Redis address has a character that Redis and its programs read differently" >&2 && exit 1
cat > /tmp/redis.conf <<END
aclfile /tmp/users.acl
dir /data
appendonly yes
save ""
maxmemory 192mb
maxmemory-policy noeviction
replica-announce-ip $self
masteruser ticketing
masterauth $REDISCLI_AUTH
END
primary=$(primary)
[ "$primary" = "$self" ] || echo "replicaof $primary 6379" >> /tmp/redis.conf
exec redis-server /tmp/redis.conf
