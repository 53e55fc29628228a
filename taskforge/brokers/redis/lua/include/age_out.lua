-- Remove what has aged out, at most 250 of each (SWEEP_STEP): cards, and targets of which nothing is wished any more.
local function age_out(r, now)
  for _, kept in ipairs({{r.cards, r.lives}, {r.wishes, r.ends}}) do
    local old = redis.call('ZRANGE', kept[2], '-inf', string.format('%.0f', now), 'BYSCORE', 'LIMIT', 0, 250)
    if #old > 0 then
      redis.call('HDEL', kept[1], unpack(old))
      redis.call('ZREM', kept[2], unpack(old))
    end
  end
end
