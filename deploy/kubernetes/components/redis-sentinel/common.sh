# Shared by both scripts. The users are those of ops/redis_users.py.
umask 077
self=$HOSTNAME.redis

password() { echo "$1" | sed "s|.*://[^:]*:||; s|@.*||"; }

# The server that takes writes: the one that the Sentinels name, at the very first start the first one.
primary() {
  for other in redis-0.redis redis-1.redis redis-2.redis; do
    named=$(timeout 2 redis-cli -h "$other" -p 26379 --user ticketing --no-auth-warning \
      sentinel get-master-addr-by-name ticketing 2> /dev/null | head -n 1)
    case $named in *.redis) echo "$named"; return ;; esac
  done
  echo redis-0.redis
}
