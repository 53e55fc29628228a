-- How much waits in a queue, and for how long: the job first in line of each priority is looked at, no other.
-- Returns jobs that are ready or have fallen due, for how many ms the longest-waiting of these has been so (-1: there
-- are none), jobs that fall due later but within the span, and running jobs.
local keys   = KEYS     -- as include/queue names them
local now    = ARGV[1]  -- ms, '' for the server's clock
local within = ARGV[2]  -- ms

-- include: queue
-- include: clock
-- include: layout

local q = queue(keys, 0)
local refusal = layout(q)
if refusal then return refusal end
now = clock(now)
local oldest = math.huge
local first = redis.call('ZRANGE', q.ready, 0, 0, 'WITHSCORES')
while #first > 0 do
  local rank = math.floor(first[2] / 2 ^ 45)
  local turn = string.format('%.0f', first[2] - rank * 2 ^ 45)
  local second = redis.call('ZRANGE', q.turns, turn, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 1)[1]
  local job = redis.call('HGET', q.jobs, first[1])
  -- It has this place since it was enqueued or, if it waited or ran before, since about when its turn was given.
  local since = job and struct.unpack('>I6', job) or now
  oldest = math.min(oldest, math.max(since, (second or 0) * 1000))
  first = redis.call('ZRANGE', q.ready, string.format('%.0f', (rank + 1) * 2 ^ 45), '+inf', 'BYSCORE', 'LIMIT', 0, 1,
    'WITHSCORES')
end
local fallen = redis.call('ZCOUNT', q.delayed, '-inf', string.format('(%.0f', (now + 1) * 256))
if fallen > 0 then
  local due = redis.call('ZRANGE', q.delayed, 0, 0, 'WITHSCORES')[2]
  oldest = math.min(oldest, math.floor(due / 256))
end
local soon = redis.call('ZCOUNT', q.delayed, '-inf', string.format('(%.0f', (now + within + 1) * 256)) - fallen
return {redis.call('ZCARD', q.ready) + fallen, oldest < math.huge and math.max(0, now - oldest) or -1, soon,
  redis.call('ZCARD', q.running)}
