. /scripts/common.sh
cat > /tmp/users.acl <<END
user default off ~* &* +@all
user ticketing on >$REDISCLI_AUTH ~* &* +@all
user expiration on >$(password "$EXPIRATION_REDIS_URL") +@connection +sentinel|masters
user scheduler on >$(password "$SCHEDULER_REDIS_URL") +@connection +sentinel|masters
user worker on >$(password "$WORKER_REDIS_URL") +@connection +sentinel|masters
END
cat > /tmp/sentinel.conf <<END
port 26379
dir /tmp
aclfile /tmp/users.acl
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $self
sentinel sentinel-user ticketing
sentinel sentinel-pass $REDISCLI_AUTH
sentinel monitor ticketing $(primary) 6379 2
sentinel auth-user ticketing ticketing
sentinel auth-pass ticketing $REDISCLI_AUTH
sentinel down-after-milliseconds ticketing 3000
sentinel failover-timeout ticketing 10000
END
exec redis-server /tmp/sentinel.conf --sentinel
