-- include: ended

-- Jobs that waited end as cancelled; `list` was gathered by include/ending.
local function withdraw(q, list)
  if not list then return end
  redis.call('ZREM', q.ready, unpack(list.ids))
  redis.call('ZREM', q.delayed, unpack(list.ids))
  redis.call('SREM', q.retrying, unpack(list.ids))
  ended(q, q.cancelled, list)
end
