-- include: amend
-- include: ended
-- include: ending
-- include: latest_moment
-- include: mark
-- include: places

-- Deliveries gave their jobs, which run no more, back: ids, their entries, and what include/settle was given of each.
local function requeue(q, ids, entries, given)
  local back, stops = places(q, ids, entries), redis.call('HMGET', q.stopping, unpack(ids))
  local facts, ready, delayed, retrying, stopped, turn = {}, {}, {}, {}, nil, q.turn
  for i = 1, #ids do
    local id, e, place, counts, delay, crashes = ids[i], entries[i], back[i], given[i][6], given[i][7], given[i][9]
    if counts > 0 or crashes then e = amend.count(e, counts, crashes or 0) end
    if stops[i] then
      stopped = ending(stopped, q, id, e, given[i][2], false, 0, 'requested')
    else
      facts[#facts + 1] = id; facts[#facts + 1] = amend.released(e)
      if delay > 0 then
        local due = latest_moment(q.now + delay)
        delayed[#delayed + 1] = due * 256 + math.floor(place / 2 ^ 45); delayed[#delayed + 1] = id
        q.due = math.min(q.due, due)
        if counts > 0 then retrying[#retrying + 1] = id end
      else
        if delay == 0 then q.turn = q.turn + 1; place = place - place % 2 ^ 45 + q.turn end
        ready[#ready + 1] = place; ready[#ready + 1] = id
      end
    end
  end
  ended(q, q.cancelled, stopped)
  if #facts == 0 then return end
  redis.call('HSET', q.facts, unpack(facts))
  if #ready > 0 then redis.call('ZADD', q.ready, unpack(ready)) end
  if q.turn > turn then mark(q, {turn + 1, math.floor(q.now / 1000)}) end
  if #delayed > 0 then redis.call('ZADD', q.delayed, unpack(delayed)) end
  if #retrying > 0 then redis.call('SADD', q.retrying, unpack(retrying)) end
  q.moved = true
end
