-- Count the jobs of a queue, but for those that have aged out.
-- Returns ready, delayed, retrying, running, succeeded, dead, cancelled.
local keys = KEYS     -- as include/queue names them
local now  = ARGV[1]  -- ms, '' for the server's clock

-- include: queue
-- include: clock
-- include: layout

local q = queue(keys, 0)
local refusal = layout(q)
if refusal then return refusal end
local from = string.format('(%.0f', clock(now))
return {
  redis.call('ZCARD', q.ready),
  redis.call('ZCARD', q.delayed),
  redis.call('SCARD', q.retrying),
  redis.call('ZCARD', q.running),
  redis.call('ZCOUNT', q.succeeded, from, '+inf') + redis.call('ZCOUNT', q.results, from, '+inf'),
  redis.call('ZCOUNT', q.dead, from, '+inf'),
  redis.call('ZCOUNT', q.cancelled, from, '+inf'),
}
