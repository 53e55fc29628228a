-- The bodies of these jobs, in order, as `jobs` holds them: as many as fit into `room` bytes, but one if all room is
-- left. Read 16 at a time, so that what does not fit has cost little. Returns them, their bytes, and whether some did
-- not fit.
local function read(q, ids, room)
  local bodies, bytes = {}, 0
  for first = 1, #ids, 16 do
    local some = redis.call('HMGET', q.jobs, unpack(ids, first, math.min(first + 15, #ids)))
    for i = 1, #some do
      local length = some[i] and #some[i] or 0
      if bytes + length > room and (first + i > 2 or room < 1048576) then        -- BATCH_BYTES
        return bodies, bytes, true end
      bodies[first + i - 1], bytes = some[i], bytes + length
    end
  end
  return bodies, bytes, false
end
