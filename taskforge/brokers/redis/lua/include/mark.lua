-- Note when turns were given to jobs that did not come just then: turn, unix second, … Of each second its first turn is
-- kept; of more than 1,000 seconds every other one goes, so that the far past is known, if less exactly.
local function mark(q, marks)
  redis.call('ZADD', q.turns, 'NX', unpack(marks))
  if redis.call('ZCARD', q.turns) <= 1000 then return end
  local seconds, gone = redis.call('ZRANGE', q.turns, 0, -1), {}
  for i = 2, #seconds - 1, 2 do gone[#gone + 1] = seconds[i] end
  redis.call('ZREM', q.turns, unpack(gone))
end
