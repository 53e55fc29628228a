-- Returns the names of the workers whose cards have not aged out, sorted.
local keys = KEYS     -- as include/register names them
local now  = ARGV[1]  -- ms, '' for the server's clock

-- include: register
-- include: clock

local r = register(keys)
local names = redis.call('ZRANGE', r.lives, string.format('(%.0f', clock(now)), '+inf', 'BYSCORE')
table.sort(names)
return names
