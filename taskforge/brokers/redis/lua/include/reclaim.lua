-- include: amend
-- include: ended
-- include: ending
-- include: places

-- Running jobs whose lease ran out go back to the places they were claimed from, at most 250, with one crash counted,
-- but for those that were claimed ahead and never extended; those that were asked to stop end as cancelled. Not for a
-- while after the clock jumped: keepers extend first. Returns whether there may be more.
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
  local entries, stops = redis.call('HMGET', q.facts, unpack(ids)), redis.call('HMGET', q.stopping, unpack(ids))
  local back, facts, ready, stopped = places(q, ids, entries), {}, {}, nil
  for i = 1, #ids do
    local id, e = ids[i], amend.lapsed(entries[i])
    if stops[i] then
      stopped = ending(stopped, q, id, e, tonumber(stops[i]), false, 0, 'requested')
    else
      ready[#ready + 1] = back[i]; ready[#ready + 1] = id
      facts[#facts + 1] = id; facts[#facts + 1] = amend.released(e)
    end
  end
  redis.call('ZREM', q.running, unpack(ids))
  if #ready > 0 then
    redis.call('HSET', q.facts, unpack(facts))
    redis.call('ZADD', q.ready, unpack(ready))
    q.moved = true
  end
  ended(q, q.cancelled, stopped)
  return #ids == 250
end
