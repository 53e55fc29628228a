-- include: entry

-- Remove ended jobs, which stand in this index, as if they had never been.
local function forget(q, index, ids)
  if #ids == 0 then return end
  if index == q.results then
    local entries = redis.call('HMGET', q.facts, unpack(ids))
    for i = 1, #ids do q.bytes = q.bytes - (entries[i] and entry.size(entries[i]) or 0) end
    redis.call('HDEL', q.values, unpack(ids))
  end
  redis.call('ZREM', index, unpack(ids))
  redis.call('HDEL', q.jobs, unpack(ids))
  redis.call('HDEL', q.facts, unpack(ids))
  if redis.call('EXISTS', q.errors) == 1 then redis.call('HDEL', q.errors, unpack(ids)) end
end
