-- include: amend
-- include: entry

-- The claims of an earlier exchange that still hold: what `claim` returned of them, with bodies read again, and the ids
-- of those that no longer do.
local function recall(q, number, ids)
  local held, bodies, again, lost = {}, {}, {}, {}
  if #ids == 0 then return held, bodies, again, lost end
  local entries = redis.call('HMGET', q.facts, unpack(ids))
  for i = 1, #ids do
    local e = entries[i]
    if e and entry.is_held(e, number) then
      held[#held + 1] = ids[i]
      if amend.place(e) then again[#again + 1] = #held; again[#again + 1] = amend.told(e) end
    else
      lost[#lost + 1] = ids[i]
    end
  end
  if #held > 0 then bodies = redis.call('HMGET', q.jobs, unpack(held)) end
  return held, bodies, again, lost
end
