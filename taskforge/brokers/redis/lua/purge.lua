-- Delete up to 1,000 jobs in one state for good, those that `list` shows first. Returns how many.
local keys   = KEYS     -- as include/queue names them, with the sender's record
local now    = ARGV[1]  -- ms, '' for the server's clock
local number = ARGV[2]  -- of the sender's call
local state  = ARGV[3]  -- ready, delayed, succeeded, dead, cancelled

-- include: queue
-- include: clock
-- include: enter
-- include: leave
-- include: page
-- include: tell
-- include: forget

local q = queue(keys, 0)
local refusal = enter(q, clock(now), number)
if refusal then return refusal end
local function purge()
  local ids = page(q, q.now, state, 0, 1000)
  if #ids == 0 then return '0' end
  if state == 'ready' or state == 'delayed' then
    tell(q, ids)
    redis.call('SREM', q.retrying, unpack(ids))
    redis.call('ZREM', q.expiring, unpack(ids))
    redis.call('HDEL', q.progress, unpack(ids))
    forget(q, q[state], ids)
  elseif state == 'succeeded' then
    local scores, kinds = redis.call('ZMSCORE', q.results, unpack(ids)), {{}, {}}
    for i = 1, #ids do table.insert(kinds[scores[i] and 1 or 2], ids[i]) end
    forget(q, q.results, kinds[1])
    forget(q, q.succeeded, kinds[2])
  else
    forget(q, q[state], ids)
  end
  return tostring(#ids)
end
local answer = q.kept or purge()
leave(q, number, answer)
return answer
