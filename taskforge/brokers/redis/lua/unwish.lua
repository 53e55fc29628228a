-- Let wishes for a target stand no longer. Returns how many there were.
local keys   = KEYS     -- as include/register names them
local now    = ARGV[1]  -- ms, '' for the server's clock
local target = ARGV[2]
local all    = ARGV[3]  -- '1': whatever they are about
local about  = ARGV[4]

-- include: register
-- include: clock
-- include: age_out
-- include: standing

local r = register(keys)
now = clock(now)
age_out(r, now)
local before, rest = standing(redis.call('HGET', r.wishes, target), now), {}
for n = 1, #before, 4 do
  if all ~= '1' and before[n] ~= about then
    for i = n, n + 3 do rest[#rest + 1] = before[i] end
  end
end
if #rest > 0 then
  redis.call('HSET', r.wishes, target, cmsgpack.pack(rest))
else
  redis.call('HDEL', r.wishes, target)
  redis.call('ZREM', r.ends, target)
end
return (#before - #rest) / 4
