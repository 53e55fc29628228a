-- Read jobs in one state: in the order they would run, fall due or lose their lease; ended ones the latest first.
-- Returns rows of include/records, without results.
local keys   = KEYS     -- as include/queue names them
local now    = ARGV[1]  -- ms, '' for the server's clock
local state  = ARGV[2]  -- ready, delayed, running, succeeded, dead, cancelled
local offset = ARGV[3]
local limit  = ARGV[4]  -- at most 1000

-- include: queue
-- include: clock
-- include: layout
-- include: page
-- include: records

local q = queue(keys, 0)
local refusal = layout(q)
if refusal then return refusal end
now = clock(now)
return records(q, now, page(q, now, state, tonumber(offset), tonumber(limit)), false)
