-- Keep a run's latest progress beside its job. Returns 1, or 0 when the delivery no longer holds the job.
local keys     = KEYS     -- as include/queue names them
local id       = ARGV[1]
local delivery = ARGV[2]  -- its number
local progress = ARGV[3]  -- bytes

-- include: queue
-- include: layout
-- include: entry

local q = queue(keys, 0)
local refusal = layout(q)
if refusal then return refusal end
local e = redis.call('HGET', q.facts, id)
if not e or not entry.is_held(e, tonumber(delivery)) then return 0 end
redis.call('HSET', q.progress, id, progress)
return 1
