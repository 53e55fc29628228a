-- include: amend

-- The places these jobs were claimed from, as their entries tell, or else their heads.
local function places(q, ids, entries)
  local found, asked, at = {}, {}, {}
  for i = 1, #ids do
    found[i] = amend.place(entries[i])
    if not found[i] then asked[#asked + 1], at[#at + 1] = ids[i], i end
  end
  if #asked == 0 then return found end
  local jobs = redis.call('HMGET', q.jobs, unpack(asked))
  for n = 1, #asked do
    local rank, turn = struct.unpack('>I1I6', jobs[n] or string.rep('\0', 13), 7)
    found[at[n]] = rank * 2 ^ 45 + turn
  end
  return found
end
