-- include: latest

-- The ids of jobs in one state, in the order in which an inspector lists them: from `offset`, at most `limit`.
local function page(q, now, state, offset, limit)
  if state == 'ready' or state == 'delayed' or state == 'running' then
    return redis.call('ZRANGE', q[state], offset, offset + limit - 1)
  end
  if state == 'succeeded' then return latest(q, now, {q.succeeded, q.results}, offset, limit) end
  return latest(q, now, {q[state]}, offset, limit)
end
