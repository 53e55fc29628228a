-- Start the leases of deliveries anew.
-- Returns a string, one letter for each: k (kept), s (kept, and its job is asked to stop), l (lost).
local keys       = KEYS     -- as include/queue names them
local now        = ARGV[1]  -- ms, '' for the server's clock
local lease      = ARGV[2]  -- ms
local deliveries = ARGV[3]  -- msgpack: id, number, id, number, …

-- include: queue
-- include: clock
-- include: touch
-- include: save
-- include: amend
-- include: entry

local q = queue(keys, 0)
local refusal = touch(q, clock(now), redis.call('GET', q.meta) or nil)
if refusal then return refusal end
redis.call('HDEL', q.jobs, '')        -- a full memory lets what follows a write pass: leases are kept
deliveries = cmsgpack.unpack(deliveries)
local ids = {}
for i = 1, #deliveries / 2 do ids[i] = deliveries[2 * i - 1] end
local entries, stops = redis.call('HMGET', q.facts, unpack(ids)), redis.call('HMGET', q.stopping, unpack(ids))
local leases, begun, answer, deadline = {}, {}, {}, string.format('%.0f', q.now + lease)
for i = 1, #ids do
  local e = entries[i]
  if e and entry.is_held(e, deliveries[2 * i]) then
    leases[#leases + 1] = deadline; leases[#leases + 1] = ids[i]
    if amend.is_ahead(e) then begun[#begun + 1] = ids[i]; begun[#begun + 1] = amend.begun(e) end
    answer[i] = stops[i] and 's' or 'k'
  else
    answer[i] = 'l'
  end
end
if #leases > 0 then redis.call('ZADD', q.running, unpack(leases)) end
if #begun > 0 then redis.call('HSET', q.facts, unpack(begun)) end
save(q)
return table.concat(answer)
