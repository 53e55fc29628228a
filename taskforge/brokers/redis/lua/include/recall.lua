-- include: entry

-- The claims of an earlier exchange that still hold: what `claim` returned of them, with bodies read again, and the ids
-- of those that no longer do.
local function recall(q, number, ids)
  local held, places, bodies, again, lost = {}, {}, {}, {}, {}
  if #ids == 0 then return held, places, bodies, again, lost end
  local entries, holding = redis.call('HMGET', q.facts, unpack(ids)), 'h' .. struct.pack('>I6', number)
  for i = 1, #ids do
    local e = entries[i]
    if e and string.sub(e, 1, 7) == holding then
      local n = #held + 1
      held[n], places[n] = ids[i], string.format('%.0f', entry.place(e))
      again[2 * n - 1], again[2 * n] = n, string.sub(e, 14, 17)
    else
      lost[#lost + 1] = ids[i]
    end
  end
  if #held > 0 then bodies = redis.call('HMGET', q.jobs, unpack(held)) end
  return held, places, bodies, again, lost
end
