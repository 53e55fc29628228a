-- include: amend

-- Ended jobs of these indexes that have not aged out, the latest ended first: from `offset`, at most `limit`.
-- The indexes are ordered by kept-until, so a generous window of each is read and sorted by ended-at: exact for up to
-- 2,000 jobs an index, and beyond that as long as all are kept equally long.
local function latest(q, now, indexes, offset, limit)
  local found = {}
  for _, index in ipairs(indexes) do
    local ids = redis.call('ZRANGE', index, '+inf', string.format('(%.0f', now), 'BYSCORE', 'REV', 'LIMIT', 0,
      math.max(2000, offset + limit))
    for first = 1, #ids, 1000 do
      local last = math.min(first + 999, #ids)
      local entries = redis.call('HMGET', q.facts, unpack(ids, first, last))
      for i = first, last do
        found[#found + 1] = {ids[i], amend.ended_at(entries[i - first + 1])}
      end
    end
  end
  table.sort(found, function(a, b)
    if a[2] ~= b[2] then return a[2] > b[2] end
    return a[1] > b[1]
  end)
  local page = {}
  for i = offset + 1, math.min(offset + limit, #found) do page[#page + 1] = found[i][1] end
  return page
end
