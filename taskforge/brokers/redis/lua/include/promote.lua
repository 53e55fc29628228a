-- include: mark

-- Delayed jobs become ready, in the order of their due times: those given with their scores, else those now due,
-- at most 250. Returns whether there may be more.
local function promote(q, given)
  local due = given or redis.call('ZRANGE', q.delayed, '-inf', string.format('(%.0f', (q.now + 1) * 256), 'BYSCORE',
    'LIMIT', 0, 250, 'WITHSCORES')
  local n = #due / 2
  if n == 0 then return false end
  local ids, ready, turn, marks, latest = {}, {}, q.turn, {}, nil
  for i = 1, n do
    local id = due[2 * i - 1]
    ids[i], ready[2 * i] = id, id
    ready[2 * i - 1] = due[2 * i] % 256 * 2 ^ 45 + turn + i
    local second = math.floor(math.min(due[2 * i] / 256, q.now) / 1000)
    if second ~= latest then latest = second; marks[#marks + 1] = turn + i; marks[#marks + 1] = second end
  end
  q.turn, q.moved = turn + n, true
  if given then redis.call('ZREM', q.delayed, unpack(ids))
  else redis.call('ZREMRANGEBYRANK', q.delayed, 0, n - 1) end        -- the first ones
  redis.call('ZADD', q.ready, unpack(ready))
  mark(q, marks)
  if redis.call('EXISTS', q.retrying) == 1 then redis.call('SREM', q.retrying, unpack(ids)) end
  return n == 250
end
