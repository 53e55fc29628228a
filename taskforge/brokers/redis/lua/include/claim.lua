-- include: read
-- include: ring

-- Claim the best ready jobs for this sender, at most `want`, under one new delivery number. Returns ids, places,
-- bodies, a list of position and counts of those delivered before, the bytes read, and whether bytes cut it short.
local function claim(q, want, room, lease, sender)
  local ranked = redis.call('ZRANGE', q.ready, 0, want - 1, 'WITHSCORES')
  if #ranked == 0 then redis.call('DEL', q.bell); return {}, {}, {}, {}, 0, false end
  local ids, places = {}, {}
  for i = 1, #ranked / 2 do ids[i], places[i] = ranked[2 * i - 1], ranked[2 * i] end
  local bodies, bytes, cut = read(q, ids, room)
  local n = #ids
  if cut then
    n = #bodies
    for i = #ids, n + 1, -1 do ids[i], places[i] = nil, nil end
    if n == 0 then ring(q); return ids, places, bodies, {}, 0, true end
  end
  q.number = math.max(q.number + 1, q.now)              -- above what a server has forgotten that lost its last second
  local front = 'h' .. struct.pack('>I6I6', q.number, q.now)
  local back = string.char(#sender) .. sender
  local first, deadline = front .. '\0\0\0\0' .. back, string.format('%.0f', q.now + lease)
  local before, facts, leases, again = redis.call('HMGET', q.facts, unpack(ids)), {}, {}, {}
  for i = 1, n do
    local id = ids[i]
    facts[2 * i - 1], leases[2 * i - 1], leases[2 * i] = id, deadline, id
    if before[i] then
      local counts = string.sub(before[i], 14, 17)
      facts[2 * i] = front .. counts .. back .. places[i]
      again[#again + 1] = i; again[#again + 1] = counts
    else
      facts[2 * i] = first .. places[i]
    end
  end
  redis.call('ZREMRANGEBYRANK', q.ready, 0, n - 1)
  redis.call('ZADD', q.running, unpack(leases))
  redis.call('HSET', q.facts, unpack(facts))
  if redis.call('EXISTS', q.expiring) == 1 then redis.call('ZREM', q.expiring, unpack(ids)) end
  -- A full claim passes the bell on: what is left is for another waiting worker.
  if (cut or n == want) and redis.call('EXISTS', q.ready, q.delayed) > 0 then ring(q) end
  return ids, places, bodies, again, bytes, cut
end
