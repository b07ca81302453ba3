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

#: KEYS: use, age, buckets. ARGV: max_age_ms. Returns the number of dropped old entries and a list
#: of values for each bucket. Whatever is found counts as used: the client verifies afterwards, and
#: reporting back which one it took would cost a second round trip.
LOOKUP = (
    _COMMON
    + f"""
local max_age_ms = tonumber(ARGV[1])
local reply = {{drop_old(max_age_ms)}}
for index = 3, #KEYS do
  local bucket, values = KEYS[index], {{}}
  local pairs_ = redis.call('HGETALL', bucket)
  for at = 1, #pairs_, 2 do
    local value = pairs_[at + 1]
    local stored_ms = tonumber(string.sub(value, 1, {STAMP_DIGITS})) or 0
    if max_age_ms == 0 or now_ms - stored_ms <= max_age_ms then
      values[#values + 1] = value
      redis.call('ZADD', use, 'XX', now_us + index, bucket .. pairs_[at])
    end
  end
  reply[index - 1] = values
end
return reply
"""
)

#: KEYS: use, age, the bucket of each entry. ARGV: max_age_ms, max_entries, bucket_limit, then
#: digest and packed answer of each entry. Returns the numbers of dropped old and evicted entries.
STORE = (
    _COMMON
    + f"""
local max_age_ms, max_entries, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local expired, evicted = drop_old(max_age_ms), 0
for index = 3, #KEYS do
  local bucket, digest, answer = KEYS[index], ARGV[2 * index - 2], ARGV[2 * index - 1]
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
  redis.call('ZADD', use, now_us + index, member)
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
