-- include: entry
-- include: forget

-- Keep an index of ended jobs within its bounds; the soonest to expire go first. What is far over them (after a
-- setting was lowered) goes in steps.
local function trim(q, index)
  local limit = q.retention[1]
  if index == q.results then limit = q.retention[2] elseif index == q.dead then limit = q.retention[4] end
  local over = redis.call('ZCARD', index) - limit
  if over > 0 then forget(q, index, redis.call('ZRANGE', index, 0, math.min(over, 1000) - 1)) end
  if index ~= q.results then return end
  while q.bytes > q.retention[3] do
    local ids = redis.call('ZRANGE', index, 0, 15)
    if #ids == 0 then q.bytes = 0; return end
    local entries, gone, left = redis.call('HMGET', q.facts, unpack(ids)), {}, q.bytes
    for i = 1, #ids do
      if left <= q.retention[3] then break end
      gone[i], left = ids[i], left - entry.size(entries[i])
    end
    forget(q, index, gone)
  end
end
