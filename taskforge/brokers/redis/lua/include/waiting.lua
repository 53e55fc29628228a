-- include: amend

-- The entries of jobs as they wait now: with the priority and place they have, made anew for those never delivered.
-- false for a job that is not waiting.
local function waiting(q, ids)
  local ready, delayed = redis.call('ZMSCORE', q.ready, unpack(ids)), redis.call('ZMSCORE', q.delayed, unpack(ids))
  local entries = redis.call('HMGET', q.facts, unpack(ids))
  for i = 1, #ids do
    local place = ready[i] and tonumber(ready[i]) or delayed[i] and delayed[i] % 256 * 2 ^ 45
    if not place then
      entries[i] = false
    else
      entries[i] = entries[i] and amend.set_place(entries[i], place) or amend.fresh(place)
    end
  end
  return entries
end
