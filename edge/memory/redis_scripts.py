"""What the Redis or Valkey server does for a shared result memory, in one step each.

Layout, all under one hash tag, so that a cluster keeps it on one node:

``TAG:b:<namespace><key>``
    A hash, one bucket: digest of the image -> 13 digits of milliseconds (when it was stored, by the
    server's clock) and the packed answer. It expires with its youngest entry.
``TAG:use``, ``TAG:age``
    Sorted sets of the members ``<bucket><digest>``, by last use in microseconds and by the time of
    storing in milliseconds.
"""

from __future__ import annotations

#: Bytes of the digest at the end of a member.
DIGEST_BYTES = 16
#: Decimal digits of milliseconds in front of an answer.
STAMP_DIGITS = 13

_COMMON = f"""
local use, age = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now_ms = math.floor(now_us / 1000)

local function drop(member)
  local bucket = string.sub(member, 1, -{DIGEST_BYTES + 1})
  redis.call('HDEL', bucket, string.sub(member, -{DIGEST_BYTES}))
  redis.call('ZREM', use, member)
  redis.call('ZREM', age, member)
end

-- Drop what is too old, a bounded number in one step. max_age_ms 0: nothing is ever too old.
local function drop_old(max_age_ms)
  if max_age_ms == 0 then return 0 end
  local old = redis.call('ZRANGEBYSCORE', age, '-inf', '(' .. now_ms - max_age_ms, 'LIMIT', 0, 200)
  for _, member in ipairs(old) do drop(member) end
  return #old
end
"""

#: KEYS: use, age. ARGV: max_age_ms, how the names of the namespace's buckets begin, length of a
#: key, all keys one after the other (short requests matter: thousands of names would be hundreds of
#: kilobytes). Returns the number of dropped old entries, then for everything found the number of
#: its key, from 0, and the value. What is found counts as used: the client verifies afterwards, and
#: reporting back which one it took would cost a second round trip.
LOOKUP = (
    _COMMON
    + f"""
local max_age_ms, start, length, keys = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4]
local reply = {{drop_old(max_age_ms)}}
for number = 0, #keys / length - 1 do
  local bucket = start .. string.sub(keys, number * length + 1, (number + 1) * length)
  local content = redis.call('HGETALL', bucket)
  for at = 1, #content, 2 do
    local value = content[at + 1]
    local stored_ms = tonumber(string.sub(value, 1, {STAMP_DIGITS})) or 0
    if max_age_ms == 0 or now_ms - stored_ms <= max_age_ms then
      reply[#reply + 1] = number
      reply[#reply + 1] = value
      redis.call('ZADD', use, 'XX', now_us + number, bucket .. content[at])
    end
  end
end
return reply
"""
)

#: KEYS: use, age. ARGV: max_age_ms, max_entries, bucket_limit, then bucket, digest and packed
#: answer of each entry. Returns the numbers of dropped old and of evicted entries.
STORE = (
    _COMMON
    + f"""
local max_age_ms, max_entries, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local expired, evicted = drop_old(max_age_ms), 0
for at = 4, #ARGV, 3 do
  local bucket, digest, answer = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local member = bucket .. digest
  if redis.call('HEXISTS', bucket, digest) == 0 and redis.call('HLEN', bucket) >= limit then
    local oldest, oldest_us
    for _, field in ipairs(redis.call('HKEYS', bucket)) do
      local used_us = tonumber(redis.call('ZSCORE', use, bucket .. field) or 0)
      if not oldest or used_us < oldest_us then oldest, oldest_us = field, used_us end
    end
    drop(bucket .. oldest)
    evicted = evicted + 1
  end
  redis.call('HSET', bucket, digest, string.format('%0{STAMP_DIGITS}d', now_ms) .. answer)
  redis.call('ZADD', use, now_us + at, member)
  redis.call('ZADD', age, now_ms, member)
  if max_age_ms > 0 then
    for _, key in ipairs({{bucket, use, age}}) do redis.call('PEXPIRE', key, max_age_ms + 1) end
  end
end
while redis.call('ZCARD', use) > max_entries do
  drop(redis.call('ZRANGE', use, 0, 0)[1])
  evicted = evicted + 1
end
return {{expired, evicted}}
"""
)

#: KEYS: use, age. ARGV: max_age_ms. Returns the numbers of dropped old and of remaining entries.
COUNT = _COMMON + "return {drop_old(tonumber(ARGV[1])), redis.call('ZCARD', use)}"

#: KEYS: use, age. ARGV: how the members of a namespace begin, or an empty string for all.
CLEAR = (
    _COMMON
    + """
for _, member in ipairs(redis.call('ZRANGE', use, 0, -1)) do
  if string.sub(member, 1, #ARGV[1]) == ARGV[1] then drop(member) end
end
"""
)
