-- What is known of these jobs, in the order asked for, without those unknown or aged out. Each row: id, state, score in
-- the index of its state, what `jobs` holds, entry, expires, what `stopping` holds, errors, progress, result; false for
-- what there is not.
local function records(q, now, ids, results)
  local rows = {}
  if #ids == 0 then return rows end
  local jobs, facts = redis.call('HMGET', q.jobs, unpack(ids)), redis.call('HMGET', q.facts, unpack(ids))
  local expires, stops = redis.call('ZMSCORE', q.expiring, unpack(ids)), redis.call('HMGET', q.stopping, unpack(ids))
  local errors, progress = redis.call('HMGET', q.errors, unpack(ids)), redis.call('HMGET', q.progress, unpack(ids))
  local values = results and redis.call('HMGET', q.values, unpack(ids)) or {}
  local found = {}
  for _, state in ipairs({'ready', 'delayed', 'running', 'succeeded', 'results', 'dead', 'cancelled'}) do
    local scores = redis.call('ZMSCORE', q[state], unpack(ids))
    for i = 1, #ids do
      if scores[i] then found[i] = {state, scores[i]} end
    end
  end
  local living = {ready = true, delayed = true, running = true}
  for i = 1, #ids do
    local state, score = unpack(found[i] or {})
    if jobs[i] and state and (living[state] or tonumber(score) > now) then
      rows[#rows + 1] = {ids[i], state == 'results' and 'succeeded' or state, score, jobs[i], facts[i],
        expires[i], stops[i], errors[i], progress[i], values[i] or false}
    end
  end
  return rows
end
