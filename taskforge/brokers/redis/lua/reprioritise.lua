-- Change the priority of waiting and running jobs; each becomes the last of its new priority, a running one when it
-- comes back. Returns a string of 1, or 0 for a job that has ended or is unknown.
local keys     = KEYS     -- as include/queue names them, with the sender's record
local now      = ARGV[1]  -- ms, '' for the server's clock
local number   = ARGV[2]  -- of the sender's call
local priority = ARGV[3]  -- -100 to 100
local ids      = ARGV[4]  -- msgpack

-- include: queue
-- include: clock
-- include: enter
-- include: leave
-- include: amend
-- include: mark
-- include: ring

local q = queue(keys, 0)
local refusal = enter(q, clock(now), number)
if refusal then return refusal end
local function reprioritise()
  ids = cmsgpack.unpack(ids)
  local rank, turn = 100 - tonumber(priority), q.turn
  local ready, delayed = redis.call('ZMSCORE', q.ready, unpack(ids)), redis.call('ZMSCORE', q.delayed, unpack(ids))
  local running, entries = redis.call('ZMSCORE', q.running, unpack(ids)), redis.call('HMGET', q.facts, unpack(ids))
  local answer, seen = {}, {}
  for i = 1, #ids do
    local id, place = ids[i], nil
    answer[i] = '1'
    if seen[id] then
      -- once is enough
    elseif ready[i] or running[i] then
      q.turn = q.turn + 1
      place = rank * 2 ^ 45 + q.turn
      if ready[i] then redis.call('ZADD', q.ready, place, id) end
    elseif delayed[i] then
      place = rank * 2 ^ 45
      redis.call('ZADD', q.delayed, delayed[i] - delayed[i] % 256 + rank, id)
    else
      answer[i] = '0'
    end
    if place then                                      -- the head of the job does not tell it any more
      redis.call('HSET', q.facts, id, entries[i] and amend.set_place(entries[i], place) or amend.fresh(place))
    end
    seen[id] = true
  end
  if q.turn > turn then mark(q, {turn + 1, math.floor(q.now / 1000)}) end
  if redis.call('EXISTS', q.ready) == 1 then ring(q) end
  return table.concat(answer)
end
local answer = q.kept or reprioritise()
leave(q, number, answer)
return answer
