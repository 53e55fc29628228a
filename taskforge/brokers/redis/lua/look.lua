-- Read one job, result included. Returns a row of include/records, or nothing.
local keys = KEYS     -- as include/queue names them
local now  = ARGV[1]  -- ms, '' for the server's clock
local id   = ARGV[2]

-- include: queue
-- include: clock
-- include: layout
-- include: records

local q = queue(keys, 0)
local refusal = layout(q)
if refusal then return refusal end
return records(q, clock(now), {id}, true)[1]
