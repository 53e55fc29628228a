-- Remove ended jobs, which stand in this index, as if they had never been. `first`: they are its first ones.
local function forget(q, index, ids, first)
  if #ids == 0 then return end
  if index == q.results then
    -- include: amend
    local entries = redis.call('HMGET', q.facts, unpack(ids))
    for i = 1, #ids do q.bytes = q.bytes - (entries[i] and amend.size(entries[i]) or 0) end
    redis.call('HDEL', q.values, unpack(ids))
  end
  if first then redis.call('ZREMRANGEBYRANK', index, 0, #ids - 1) else redis.call('ZREM', index, unpack(ids)) end
  redis.call('HDEL', q.jobs, unpack(ids))
  redis.call('HDEL', q.facts, unpack(ids))
  if redis.call('EXISTS', q.errors) == 1 then redis.call('HDEL', q.errors, unpack(ids)) end
end
