-- include: ended
-- include: requeue
-- include: take_errors
-- include: entry

-- Settle deliveries. Each row: id, delivery number, way (1 ack, 2 requeue, 3 bury, 4 cancel), keep (ms), took (ms),
-- reason, result, error, attempts to count, delay (see requeue); what is false at the end may be left out.
-- Returns the rows (counted from 1) that came too late, and which came in time.
local function settle(q, rows)
  local ids, late, good, taken, ways = {}, {}, {}, {}, {{}, {}, {}, {}}
  if #rows == 0 then return late, good end
  for i = 1, #rows do ids[i] = rows[i][1] end
  local entries, number, holding = redis.call('HMGET', q.facts, unpack(ids)), nil, nil
  local results, values, simple = {}, {}, ways[1]
  for i = 1, #rows do
    local row, e = rows[i], entries[i]
    if row[2] ~= number then number = row[2]; holding = 'h' .. struct.pack('>I6', number) end
    if not e or taken[row[1]] or string.sub(e, 1, 7) ~= holding then
      late[#late + 1] = i
    else
      taken[row[1]], good[i], row[2] = true, true, e
      local way = ways[row[3]]
      if row[3] ~= 2 and row[9] and row[9] > 0 then row[2] = entry.count(e, row[9], 0) end
      if row[7] then
        way = results
        values[#values + 1] = row[1]; values[#values + 1] = row[7]
        q.bytes = q.bytes + #row[7]
      end
      way[#way + 1] = row
    end
  end
  take_errors(q, ways[2]); take_errors(q, ways[3]); take_errors(q, ways[4])
  if #values > 0 then redis.call('HSET', q.values, unpack(values)) end
  ended(q, q.succeeded, true, simple)
  ended(q, q.results, true, results)
  ended(q, q.dead, true, ways[3])
  ended(q, q.cancelled, true, ways[4])
  requeue(q, ways[2])
  return late, good
end
