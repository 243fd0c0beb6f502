"""What a cache does in Redis at one blow. KEYS[1] is what all its keys begin with.

`entry:<key>` holds an entry until it expires; `buckets` in which bucket each is, `used` when it was
used, `expiry` when it expires by the server's clock (milliseconds), `bucket:<bucket>` the numbers
of those with an embedding. An entry is written last: one that is half there is never found.
"""

from __future__ import annotations

__all__ = ["DELETE", "LEARN", "LEASE", "PUT", "RELEASE"]

_DROP = """
local base, call = KEYS[1], redis.call
local function drop(key)
  local bucket = call('HGET', base .. 'buckets', key)
  if bucket then call('ZREM', base .. 'bucket:' .. bucket, key) end
  call('HDEL', base .. 'buckets', key)
  call('ZREM', base .. 'used', key)
  call('ZREM', base .. 'expiry', key)
  return call('DEL', base .. 'entry:' .. key)
end
"""
PUT = (
    _DROP
    + """
local key, bucket, used, lasts, most, size, about, embedding, body = unpack(ARGV)
-- Before anything is deleted: then Redis refuses all of it where its memory is full.
local seq = call('INCR', base .. 'seq')
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
drop(key)
for _, other in ipairs(call('ZRANGEBYSCORE', base .. 'expiry', '-inf', now, 'LIMIT', 0, 64)) do
  drop(other)
end
local excess = math.min(call('ZCARD', base .. 'used') + 1 - most, 64)
if excess > 0 then
  for _, other in ipairs(call('ZRANGE', base .. 'used', 0, excess - 1)) do drop(other) end
end
if tonumber(lasts) <= 0 then return 0 end
local entry = base .. 'entry:' .. key
call('HSET', base .. 'buckets', key, bucket)
call('ZADD', base .. 'used', used, key)
call('ZADD', base .. 'expiry', string.format('%.0f', now + lasts), key)
if embedding ~= '' then call('ZADD', base .. 'bucket:' .. bucket, seq, key) end
call('HSET', entry, 'about', about, 'embedding', embedding, 'body', body, 'size', size)
return call('PEXPIRE', entry, lasts)
"""
)
DELETE = (
    _DROP
    + """
local gone = 0
for _, key in ipairs(ARGV) do gone = gone + drop(key) end
return gone
"""
)
LEASE = """
local name = KEYS[1] .. 'lease:' .. ARGV[1]
local owner = redis.call('GET', name)
if owner and owner ~= ARGV[2] then return 0 end
redis.call('SET', name, ARGV[2], 'PX', ARGV[3])
return 1
"""
RELEASE = """
local name = KEYS[1] .. 'lease:' .. ARGV[1]
if redis.call('GET', name) == ARGV[2] then return redis.call('DEL', name) end
return 0
"""
LEARN = """
local seq = redis.call('INCR', KEYS[1] .. 'learnt')
redis.call('ZADD', KEYS[1] .. 'evidence', seq, seq .. ' ' .. ARGV[2])
redis.call('ZREMRANGEBYRANK', KEYS[1] .. 'evidence', 0, -1 - ARGV[1])
return seq
"""
