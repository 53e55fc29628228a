-- Keep a value in a hash until `ends` (ms); `index` is the sorted set of when its values age out. Both go by themselves
-- when the last one has. Of more than `most` values the one that would age out soonest goes.
local function retain(hash, index, field, value, now, ends, most)
  redis.call('HDEL', hash, '')                         -- a full memory lets what follows a write pass
  redis.call('HSET', hash, field, value)
  redis.call('ZADD', index, string.format('%.0f', ends), field)
  if redis.call('ZCARD', index) > most then
    for _, soonest in ipairs(redis.call('ZRANGE', index, 0, 1)) do
      if soonest ~= field then
        redis.call('HDEL', hash, soonest)
        redis.call('ZREM', index, soonest)
        break
      end
    end
  end
  for _, key in ipairs({hash, index}) do
    if redis.call('PTTL', key) < ends - now then redis.call('PEXPIRE', key, string.format('%.0f', ends - now)) end
  end
end
