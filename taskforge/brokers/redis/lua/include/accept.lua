-- include: aged_out
-- include: latest_moment

-- Accept jobs into a queue, as ready or delayed. Each row: id, body, priority, and then, or false: delay (ms), due
-- time, ms until it expires, time it expires. Returns a string of 1 (new) and 0 (the id is known), and whether to ring.
local function accept(q, rows)
  local n, ids = #rows, {}
  for i = 1, n do ids[i] = rows[i][1] end
  local known, answer = redis.call('HMGET', q.jobs, unpack(ids)), {}
  local head = struct.pack('>I6', q.now)
  local seen, jobs, ready, delayed, expiring, soonest = {}, {}, {}, {}, {}, math.huge
  for i = 1, n do
    local row, id = rows[i], ids[i]
    local priority = 100 - row[3]
    answer[i] = '1'
    if known[i] and not aged_out(q, id) or seen[id] then
      answer[i] = '0'
    else
      seen[id] = true
      jobs[#jobs + 1] = id; jobs[#jobs + 1] = head .. row[2]
      local due = latest_moment(row[4] and q.now + row[4] or row[5] or 0)
      if due > q.now then
        delayed[#delayed + 1] = due * 256 + priority; delayed[#delayed + 1] = id
        soonest = math.min(soonest, due * 256 + priority)
      else
        q.turn = q.turn + 1
        ready[#ready + 1] = priority * 2 ^ 45 + q.turn; ready[#ready + 1] = id
      end
      local expires = row[6] and q.now + row[6] or row[7]
      if expires then expiring[#expiring + 1] = latest_moment(expires); expiring[#expiring + 1] = id end
    end
  end
  answer = table.concat(answer)
  if #jobs == 0 then return answer, false end
  local first = #delayed > 0 and redis.call('ZRANGE', q.delayed, 0, 0, 'WITHSCORES') or {}
  redis.call('HSET', q.jobs, unpack(jobs))
  if #ready > 0 then redis.call('ZADD', q.ready, unpack(ready)) end
  if #delayed > 0 then redis.call('ZADD', q.delayed, unpack(delayed)) end
  if #expiring > 0 then redis.call('ZADD', q.expiring, unpack(expiring)) end
  return answer, #ready > 0 or soonest < (tonumber(first[2]) or math.huge)
end
