-- include: ending
-- include: waiting
-- include: withdraw

-- Cancel waiting jobs that no run has begun by their `expires`, at most 250; their
-- records are kept for `keep` ms. Returns whether there may be more.
local function expire(q, keep)
  local ids = redis.call('ZRANGE', q.expiring, '-inf', string.format('%.0f', q.now), 'BYSCORE', 'LIMIT', 0, 250)
  if #ids == 0 then return false end
  local expired, known = nil, waiting(q, ids)
  for i = 1, #ids do
    if known[i] then expired = ending(expired, q, ids[i], known[i], keep, false, 0, 'expired') end
  end
  withdraw(q, expired)
  redis.call('ZREM', q.expiring, unpack(ids))
  return #ids == 250
end
