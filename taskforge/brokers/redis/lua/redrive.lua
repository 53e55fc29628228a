-- Make dead or cancelled jobs ready again, to start over; only their delivery numbers go on rising.
-- Returns a string of 1, or 0 for a job in any other state.
local keys   = KEYS     -- as include/queue names them, with the sender's record
local now    = ARGV[1]  -- ms, '' for the server's clock
local number = ARGV[2]  -- of the sender's call
local ids    = ARGV[3]  -- msgpack
local body   = ARGV[4]  -- '=' and what replaces the body of the only id given; '' keeps what each has

-- include: queue
-- include: clock
-- include: enter
-- include: leave
-- include: amend
-- include: entry
-- include: places
-- include: ring

local q = queue(keys, 0)
local refusal = enter(q, clock(now), number)
if refusal then return refusal end
local function redrive()
  ids = cmsgpack.unpack(ids)
  local dead, cancelled = redis.call('ZMSCORE', q.dead, unpack(ids)), redis.call('ZMSCORE', q.cancelled, unpack(ids))
  local entries, known = redis.call('HMGET', q.facts, unpack(ids)), {}
  local facts, ready, answer = {}, {}, {}
  for i = 1, #ids do
    local id, kept = ids[i], tonumber(dead[i] or cancelled[i] or 0)
    answer[i] = '0'
    if kept > q.now and not known[id] then
      local place = places(q, {id}, {entries[i]})[1]
      q.turn = q.turn + 1
      place = place - place % 2 ^ 45 + q.turn
      answer[i], known[id] = '1', true
      facts[#facts + 1] = id; facts[#facts + 1] = amend.again(entries[i])
      ready[#ready + 1] = place; ready[#ready + 1] = id
      redis.call('ZREM', dead[i] and q.dead or q.cancelled, id)
      local content = body ~= '' and string.sub(body, 2) or string.sub(redis.call('HGET', q.jobs, id), 14)
      redis.call('HSET', q.jobs, id, struct.pack('>I6', q.now) .. entry.packed(place) .. content)
    end
  end
  if #ready > 0 then
    redis.call('HSET', q.facts, unpack(facts))
    redis.call('ZADD', q.ready, unpack(ready))
    ring(q)
  end
  return table.concat(answer)
end
local answer = q.kept or redrive()
leave(q, number, answer)
return answer
