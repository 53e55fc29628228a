-- Add queues to the known ones. Returns nothing.
local known  = KEYS[1]  -- zset: queue by when it was last announced
local now    = ARGV[1]  -- ms, '' for the server's clock
local queues = ARGV[2]  -- msgpack

-- include: clock

now = clock(now)
for _, name in ipairs(cmsgpack.unpack(queues)) do redis.call('ZADD', known, now, name) end
return nil
