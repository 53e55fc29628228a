-- include: trim
-- include: rare

-- Jobs have ended: the one way out of every other state. `index` is the sorted set of ended jobs that they join;
-- `list` was gathered by include/ending. They stand in no other state any more.
local function ended(q, index, list)
  if not list then return end
  local ids = list.ids
  if rare(q) then
    -- include: tell
    redis.call('ZREM', q.expiring, unpack(ids))
    redis.call('HDEL', q.stopping, unpack(ids))
    redis.call('HDEL', q.progress, unpack(ids))
    tell(q, ids)
  end
  redis.call('HSET', q.facts, unpack(list.facts))
  redis.call('ZADD', index, unpack(list.scores))
  trim(q, index)
end
