-- Let a wish stand for a target until it ages out, in place of the one about the same; and tell workers to look.
-- Returns when it was made (ms): later than any wish that stands.
local keys     = KEYS     -- as include/register names them
local now      = ARGV[1]  -- ms, '' for the server's clock
local target   = ARGV[2]
local about    = ARGV[3]
local wish     = ARGV[4]  -- bytes
local age      = ARGV[5]  -- ms
local channels = ARGV[6]  -- msgpack, of the workers to tell

-- include: register
-- include: clock
-- include: age_out
-- include: retain
-- include: standing

local r = register(keys)
now = clock(now)
age_out(r, now)
local at, made = now, {}
for _, kept in ipairs(redis.call('HVALS', r.wishes)) do
  local wishes = standing(kept, now)
  for n = 2, #wishes, 4 do at = math.max(at, wishes[n] + 1) end
end
local before = standing(redis.call('HGET', r.wishes, target), now)
for n = 1, #before, 4 do
  if before[n] ~= about then made[#made + 1] = {unpack(before, n, n + 3)} end
end
made[#made + 1] = {about, at, now + age, wish}
local row, ends = {}, now + age
for i = math.max(1, #made - 15), #made do                                              -- MOST_WISHES
  for _, value in ipairs(made[i]) do row[#row + 1] = value end
  ends = math.max(ends, made[i][3])
end
retain(r.wishes, r.ends, target, cmsgpack.pack(row), now, ends, 1000)                  -- MOST_TARGETS
for _, channel in ipairs(cmsgpack.unpack(channels)) do redis.call('PUBLISH', channel, '') end
return at
