-- include: aged_out
-- include: latest_moment
-- include: head

-- Accept jobs into a queue, as ready or delayed. Three values for each: id, body, and its priority or, where there is
-- more to say, a list: priority, and then, or false: delay (ms), due time, ms until it expires, time it expires.
-- Returns a string of 1 (new) and 0 (the id is known), and whether to ring.
local function accept(q, given)
  local n, ids = #given / 3, {}
  for i = 1, n do ids[i] = given[3 * i - 2] end
  local known, answer, seen = redis.call('HMGET', q.jobs, unpack(ids)), {}, {}
  local jobs, ready, delayed, expiring, j, r, soonest = {}, {}, {}, {}, 0, 0, math.huge
  for i = 1, n do
    local id, body, more = ids[i], given[3 * i - 1], given[3 * i]
    if seen[id] or known[i] and not aged_out(q, id) then
      answer[i] = '0'
    else
      answer[i], seen[id] = '1', true
      local rank, turn, due = more, 0, 0
      if type(more) == 'table' then
        rank, due = more[1], latest_moment(more[2] and q.now + more[2] or more[3] or 0)
        local expires = more[4] and q.now + more[4] or more[5]
        if expires then
          expires = latest_moment(expires)
          expiring[#expiring + 1] = expires; expiring[#expiring + 1] = id
          q.due, q.rare = math.min(q.due, expires), true
        end
      end
      rank = 100 - rank
      if due > q.now then
        delayed[#delayed + 1] = due * 256 + rank; delayed[#delayed + 1] = id
        soonest, q.due = math.min(soonest, due * 256 + rank), math.min(q.due, due)
      else
        q.turn = q.turn + 1
        turn = q.turn
        ready[r + 1], ready[r + 2], r = rank * 2 ^ 45 + turn, id, r + 2
      end
      jobs[j + 1], jobs[j + 2], j = id, head(q.now, rank, turn, body) .. body, j + 2
    end
  end
  answer = table.concat(answer)
  if j == 0 then return answer, false end
  local first = #delayed > 0 and redis.call('ZRANGE', q.delayed, 0, 0, 'WITHSCORES') or {}
  redis.call('HSET', q.jobs, unpack(jobs))
  if r > 0 then redis.call('ZADD', q.ready, unpack(ready)) end
  if #delayed > 0 then redis.call('ZADD', q.delayed, unpack(delayed)) end
  if #expiring > 0 then redis.call('ZADD', q.expiring, unpack(expiring)) end
  return answer, r > 0 or soonest < (tonumber(first[2]) or math.huge)
end
