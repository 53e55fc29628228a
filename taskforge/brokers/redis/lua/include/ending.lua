-- include: entry
-- include: latest_moment

-- Add a job to a list of those about to end in one way, which `ended` takes (nil: a new one); returns the list. Given
-- are its entry, how long its record is kept and how long it took (ms, false: unknown), the bytes of its result, the
-- reason. Mostly all of this is as with the job before, and so is what comes of it.
local function ending(list, q, id, e, keep, took, size, reason)
  list = list or {ids = {}, facts = {}, scores = {}}
  local n = #list.ids + 1
  if e ~= list.e or took ~= list.took or size ~= list.size or reason ~= list.reason then
    list.e, list.took, list.size, list.reason = e, took, size, reason
    list.fact = entry.ended(e, q.now, took, size, reason)
  end
  if keep ~= list.keep then
    list.keep, list.score = keep, string.format('%.0f', latest_moment(q.now + keep))
  end
  list.ids[n] = id
  list.facts[2 * n - 1], list.facts[2 * n] = id, list.fact
  list.scores[2 * n - 1], list.scores[2 * n] = list.score, id
  return list
end
