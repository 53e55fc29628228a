-- include: entry
-- include: ended
-- include: latest_moment

-- Deliveries gave their jobs back. Each row: id, its entry, -, keep if it was asked to stop (ms), false, -, -, error,
-- attempts to count, delay (ms; 0: last of its priority; -1: to the place it was claimed from).
local function requeue(q, rows)
  if #rows == 0 then return end
  local ids, facts, ready, delayed, retrying, stopped = {}, {}, {}, {}, {}, {}
  for i = 1, #rows do ids[i] = rows[i][1] end
  local stops = redis.call('HMGET', q.stopping, unpack(ids))
  for i = 1, #rows do
    local row = rows[i]
    local id, e, delay = row[1], row[2], row[10]
    if row[9] > 0 then e = entry.count(e, row[9], 0) end
    if stops[i] then
      row[2], row[6] = e, 'requested'
      stopped[#stopped + 1] = row
    else
      local place = entry.place(e)
      facts[#facts + 1] = id; facts[#facts + 1] = entry.released(e)
      if delay > 0 then
        delayed[#delayed + 1] = latest_moment(q.now + delay) * 256 + math.floor(place / 2 ^ 45)
        delayed[#delayed + 1] = id
        if row[9] > 0 then retrying[#retrying + 1] = id end
      else
        if delay == 0 then q.turn = q.turn + 1; place = place - place % 2 ^ 45 + q.turn end
        ready[#ready + 1] = place; ready[#ready + 1] = id
      end
    end
  end
  ended(q, q.cancelled, true, stopped)
  if #facts == 0 then return end
  redis.call('ZREM', q.running, unpack(ids))
  redis.call('HSET', q.facts, unpack(facts))
  if #ready > 0 then redis.call('ZADD', q.ready, unpack(ready)) end
  if #delayed > 0 then redis.call('ZADD', q.delayed, unpack(delayed)) end
  if #retrying > 0 then redis.call('SADD', q.retrying, unpack(retrying)) end
  q.moved = true
end
