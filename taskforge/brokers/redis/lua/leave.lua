-- Forget a worker's card. Returns 1, or 0 when there was none.
local keys = KEYS     -- as include/register names them
local now  = ARGV[1]  -- ms, '' for the server's clock
local name = ARGV[2]

-- include: register
-- include: clock
-- include: age_out

local r = register(keys)
age_out(r, clock(now))
redis.call('HDEL', r.cards, name)
return redis.call('ZREM', r.lives, name)
