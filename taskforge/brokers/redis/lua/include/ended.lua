-- include: trim
-- include: tell
-- include: latest_moment

-- Jobs have ended: the one way out of every other state. `index` is the sorted set of ended jobs that they join.
-- `held`: they were running; else they were waiting. Each row: id, its entry, -, keep (ms), took (ms, false: unknown),
-- reason, its result.
local function ended(q, index, held, rows)
  local n = #rows
  if n == 0 then return end
  local ids, facts, scores, suffix, took, reason, size, keep, untl = {}, {}, {}, nil, nil, nil, nil, nil, nil
  for i = 1, n do
    local row = rows[i]
    local length = row[7] and #row[7] or 0
    if not suffix or row[5] ~= took or row[6] ~= reason or length ~= size then      -- mostly shared
      took, reason, size = row[5], row[6], length
      suffix = '|' .. struct.pack('>I6I6I4', q.now, took or 2 ^ 48 - 1, size) .. (reason or '')
    end
    if row[4] ~= keep then keep, untl = row[4], string.format('%.0f', latest_moment(q.now + row[4])) end
    ids[i] = row[1]
    facts[2 * i - 1], facts[2 * i] = row[1], 'e' .. string.sub(row[2], 2) .. suffix
    scores[2 * i - 1], scores[2 * i] = untl, row[1]
  end
  if held then
    redis.call('ZREM', q.running, unpack(ids))
  else
    redis.call('ZREM', q.ready, unpack(ids))
    redis.call('ZREM', q.delayed, unpack(ids))
    redis.call('SREM', q.retrying, unpack(ids))
    redis.call('ZREM', q.expiring, unpack(ids))
  end
  if redis.call('EXISTS', q.stopping, q.progress, q.waiters) > 0 then                    -- none, as a rule
    redis.call('HDEL', q.stopping, unpack(ids))
    redis.call('HDEL', q.progress, unpack(ids))
    tell(q, ids)
  end
  redis.call('HSET', q.facts, unpack(facts))
  redis.call('ZADD', index, unpack(scores))
  trim(q, index)
end
