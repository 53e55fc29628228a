-- include: amend
-- include: ended
-- include: ending
-- include: places

-- Jobs whose workers are gone go back to the places they were claimed from, and those that were asked to stop end as
-- cancelled. Given are ids and their entries, with what shall count; they stand among the running ones no more.
local function give_back(q, ids, entries)
  local back, stops = places(q, ids, entries), redis.call('HMGET', q.stopping, unpack(ids))
  local facts, ready, stopped = {}, {}, nil
  for i = 1, #ids do
    if stops[i] then
      stopped = ending(stopped, q, ids[i], entries[i], tonumber(stops[i]), false, 0, 'requested')
    else
      ready[#ready + 1] = back[i]; ready[#ready + 1] = ids[i]
      facts[#facts + 1] = ids[i]; facts[#facts + 1] = amend.released(entries[i])
    end
  end
  if #ready > 0 then
    redis.call('HSET', q.facts, unpack(facts))
    redis.call('ZADD', q.ready, unpack(ready))
    q.moved = true
  end
  ended(q, q.cancelled, stopped)
end
