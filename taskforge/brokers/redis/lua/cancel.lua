-- End waiting jobs as cancelled; ask the runs of running ones to stop, and tell their workers.
-- Returns a string, one letter for each: c (cancelled), r (asked to stop), e (ended or unknown).
local keys      = KEYS     -- as include/queue names them, with the sender's record
local now       = ARGV[1]  -- ms, '' for the server's clock
local number    = ARGV[2]  -- of the sender's call
local keep      = ARGV[3]  -- ms
local retention = ARGV[4]  -- msgpack: finished, results, result bytes, dead
local ids       = ARGV[5]  -- msgpack
local told      = ARGV[6]  -- what the name of a worker's channel begins with

-- include: queue
-- include: clock
-- include: enter
-- include: leave
-- include: waiting
-- include: ending
-- include: withdraw
-- include: claimer

local q = queue(keys, 0)
local refusal = enter(q, clock(now), number)
if refusal then return refusal end
local function cancel()
  ids, q.retention = cmsgpack.unpack(ids), cmsgpack.unpack(retention)
  local entries, running = waiting(q, ids), redis.call('ZMSCORE', q.running, unpack(ids))
  local cancelled, stops, asked, answer, seen = nil, {}, {}, {}, {}
  for i = 1, #ids do
    local id = ids[i]
    if entries[i] and not seen[id] then
      answer[i], seen[id] = 'c', true
      cancelled = ending(cancelled, q, id, entries[i], tonumber(keep), false, 0, 'requested')
    elseif running[i] then
      answer[i], asked[#asked + 1] = 'r', id
      stops[#stops + 1] = id; stops[#stops + 1] = keep
    else
      answer[i] = 'e'
    end
  end
  withdraw(q, cancelled)
  if #asked > 0 then
    redis.call('HSET', q.stopping, unpack(stops))
    for i, e in ipairs(redis.call('HMGET', q.facts, unpack(asked))) do
      if e then redis.call('PUBLISH', told .. claimer(e), asked[i]) end
    end
  end
  return table.concat(answer)
end
local answer = q.kept or cancel()
leave(q, number, answer)
return answer
