-- Returns all standing wishes, four values for each: target, what it is about, when it was made (ms), the wish.
local keys = KEYS     -- as include/register names them
local now  = ARGV[1]  -- ms, '' for the server's clock

-- include: register
-- include: clock
-- include: standing

local r = register(keys)
now = clock(now)
local answer, all = {}, redis.call('HGETALL', r.wishes)
for i = 1, #all, 2 do
  local wishes = standing(all[i + 1], now)
  for n = 1, #wishes, 4 do
    for _, value in ipairs({all[i], wishes[n], wishes[n + 1], wishes[n + 3]}) do answer[#answer + 1] = value end
  end
end
return answer
