-- Keep a worker's card, in place of its last one, until it ages out.
-- Returns what is wished of the targets it heeds, four values for each wish: target, what it is about, when it was made
-- (ms), the wish.
local keys    = KEYS     -- as include/register names them
local now     = ARGV[1]  -- ms, '' for the server's clock
local name    = ARGV[2]
local card    = ARGV[3]  -- bytes
local age     = ARGV[4]  -- ms
local targets = ARGV[5]  -- msgpack

-- include: register
-- include: clock
-- include: age_out
-- include: retain
-- include: standing

local r = register(keys)
now = clock(now)
age_out(r, now)
retain(r.cards, r.lives, name, card, now, now + age, 10000)                            -- MOST_CARDS
targets = cmsgpack.unpack(targets)
local answer = {}
if #targets == 0 or redis.call('EXISTS', r.wishes) == 0 then return answer end
for i, kept in ipairs(redis.call('HMGET', r.wishes, unpack(targets))) do
  local wishes = standing(kept, now)
  for n = 1, #wishes, 4 do
    for _, value in ipairs({targets[i], wishes[n], wishes[n + 1], wishes[n + 3]}) do answer[#answer + 1] = value end
  end
end
return answer
