-- include: amend
-- include: give_back
-- include: loss
-- include: take_errors

-- Running jobs whose lease ran out go back to the places they were claimed from, at most 250, with one crash counted,
-- and a note of it among their errors, but for those that were claimed ahead and never extended; those that were asked
-- to stop end as cancelled. Not for a while after the clock jumped: keepers extend first. Returns whether there may be
-- more.
local function reclaim(q, lease)
  if q.cut == 1 then                                   -- after a step back, no lease reaches further than one from now
    local longest, ids = string.format('%.0f', q.now + lease), nil
    redis.call('HDEL', q.jobs, '')                     -- a full memory lets what follows a write pass
    repeat
      ids = redis.call('ZRANGE', q.running, '(' .. longest, '+inf', 'BYSCORE', 'LIMIT', 0, 1000)
      local cut = {}
      for i = 1, #ids do cut[2 * i - 1], cut[2 * i] = longest, ids[i] end
      if #ids > 0 then redis.call('ZADD', q.running, unpack(cut)) end
    until #ids < 1000
    q.cut = 0
  end
  if q.now < q.jumped + lease / 4 + 5000 then return false end
  local ids = redis.call('ZRANGE', q.running, '-inf', string.format('%.0f', q.now), 'BYSCORE', 'LIMIT', 0, 250)
  if #ids == 0 then return false end
  local entries, failed, errors = redis.call('HMGET', q.facts, unpack(ids)), {}, {}
  for i = 1, #ids do
    local e = entries[i]
    if not amend.is_ahead(e) then failed[#failed + 1], errors[#errors + 1] = ids[i], loss(q, e) end
    entries[i] = amend.lapsed(e)
  end
  redis.call('ZREM', q.running, unpack(ids))
  if #failed > 0 then take_errors(q, failed, errors) end
  give_back(q, ids, entries)
  return #ids == 250
end
