-- include: read
-- include: ring
-- include: entry
-- include: rare

-- Claim the best ready jobs for this sender under one new delivery number: at most `slots` into free slots, and from
-- there on, up to `room`, ahead; that ends before a wary one. Returns ids, bodies, a list of position and 5 bytes
-- attempts, crashes and rank of those that have an entry, the bytes read, and what ended it: 'bytes', 'wary' or nil.
local function claim(q, slots, room, bytes, lease, sender)
  local ids = redis.call('ZRANGE', q.ready, 0, room - 1)
  local n, ending = #ids, nil
  if n == 0 then redis.call('DEL', q.bell); return ids, {}, {}, 0, nil end
  local before = redis.call('HMGET', q.facts, unpack(ids))
  for i = slots + 1, n do
    if before[i] and entry.is_wary(before[i]) then n, ending = i - 1, 'wary'; break end
  end
  for i = #ids, n + 1, -1 do ids[i] = nil end
  local bodies, taken, cut = read(q, ids, bytes)
  if cut then
    ending = 'bytes'
    for i = n, #bodies + 1, -1 do ids[i] = nil end
    n = #bodies
  end
  if n == 0 then
    if cut then ring(q) end
    return ids, bodies, {}, 0, ending
  end
  q.number = math.max(q.number + 1, q.now)             -- above what a server has forgotten that lost its last second
  q.due = math.min(q.due, q.now + lease)
  local first, beyond = entry.held('h', q.number, q.now, sender), entry.held('a', q.number, q.now, sender)
  local deadline, leases, facts, untold = string.format('%.0f', q.now + lease), {}, {}, false
  for i = 1, n do
    local id = ids[i]
    leases[2 * i - 1], leases[2 * i], facts[2 * i - 1] = deadline, id, id
    facts[2 * i] = i <= slots and first or beyond
    if before[i] or string.sub(bodies[i] or '', 8, 13) == '\0\0\0\0\0\0' then untold = true end
  end
  local again = {}
  if untold then                                       -- some heads do not tell their places
    -- include: amend
    local scores = redis.call('ZMSCORE', q.ready, unpack(ids))
    for i = 1, n do
      if before[i] or string.sub(bodies[i] or '', 8, 13) == '\0\0\0\0\0\0' then
        local e = entry.held(i <= slots and 'h' or 'a', q.number, q.now, sender, before[i], tonumber(scores[i]))
        facts[2 * i] = e
        if before[i] then again[#again + 1] = i; again[#again + 1] = amend.told(e) end
      end
    end
  end
  redis.call('ZREMRANGEBYRANK', q.ready, 0, n - 1)
  redis.call('ZADD', q.running, unpack(leases))
  redis.call('HSET', q.facts, unpack(facts))
  if rare(q) then redis.call('ZREM', q.expiring, unpack(ids)) end
  -- A full claim passes the bell on: what is left is for another waiting worker.
  if (cut or n == room) and redis.call('EXISTS', q.bell) == 0 and redis.call('EXISTS', q.ready, q.delayed) > 0 then
    redis.call('RPUSH', q.bell, 1)
  end
  return ids, bodies, again, taken, ending
end
