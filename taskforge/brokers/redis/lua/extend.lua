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

local q = queue(keys, 0)
local refusal = touch(q, clock(now))
if refusal then return refusal end
redis.call('HDEL', q.jobs, '')        -- a full memory lets what follows a write pass: leases are kept
deliveries = cmsgpack.unpack(deliveries)
local ids = {}
for i = 1, #deliveries / 2 do ids[i] = deliveries[2 * i - 1] end
local entries, stops = redis.call('HMGET', q.facts, unpack(ids)), redis.call('HMGET', q.stopping, unpack(ids))
local leases, answer, deadline = {}, {}, string.format('%.0f', q.now + lease)
for i = 1, #ids do
  if entries[i] and string.sub(entries[i], 1, 7) == 'h' .. struct.pack('>I6', deliveries[2 * i]) then
    leases[#leases + 1] = deadline; leases[#leases + 1] = ids[i]
    answer[i] = stops[i] and 's' or 'k'
  else
    answer[i] = 'l'
  end
end
if #leases > 0 then redis.call('ZADD', q.running, unpack(leases)) end
save(q)
return table.concat(answer)
