-- include: forget

-- Keep an index of ended jobs within its bounds; the soonest to expire go first. Of a thousand, some more than must
-- go then, for it costs small calls much to do it each time. What is far over the bounds (after a setting was
-- lowered) goes in steps.
local function trim(q, index)
  local limit = q.retention[1]
  if index == q.results then limit = q.retention[2] elseif index == q.dead then limit = q.retention[4] end
  local over = redis.call('ZCARD', index) - limit
  if over > 0 then
    if limit >= 1000 then over = over + math.floor(limit / 50) end
    forget(q, index, redis.call('ZRANGE', index, 0, math.min(over, 1000) - 1), true)
  end
  if index ~= q.results then return end
  while q.bytes > q.retention[3] do
    -- include: amend
    local ids = redis.call('ZRANGE', index, 0, 15)
    if #ids == 0 then q.bytes = 0; return end
    local entries, gone, left = redis.call('HMGET', q.facts, unpack(ids)), {}, q.bytes
    for i = 1, #ids do
      if left <= q.retention[3] then break end
      gone[i], left = ids[i], left - amend.size(entries[i])
    end
    forget(q, index, gone, true)
  end
end
