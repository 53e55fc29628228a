-- Add queues to the known ones; drop others if they were still not announced for a day.
-- Returns names of queues that were not announced for a day: to be dropped, if they are empty. At most 10.
local known  = KEYS[1]  -- zset: queue by when it was last announced
local now    = ARGV[1]  -- ms, '' for the server's clock
local queues = ARGV[2]  -- msgpack
local empty  = ARGV[3]  -- msgpack, the queues to drop

-- include: clock

now = clock(now)
local idle = now - 86400000
for _, name in ipairs(cmsgpack.unpack(queues)) do redis.call('ZADD', known, now, name) end
for _, name in ipairs(cmsgpack.unpack(empty)) do
  if tonumber(redis.call('ZSCORE', known, name) or now) < idle then redis.call('ZREM', known, name) end
end
return redis.call('ZRANGE', known, '-inf', string.format('(%.0f', idle), 'BYSCORE', 'LIMIT', 0, 10)
