-- The bodies of these jobs, in order, as `jobs` holds them: as many as fit into `room` bytes, but one if all room is
-- left. Read in steps, so that what does not fit has cost little: as many as fit if none is longer than the longest one
-- yet, and at most 16. Returns them, their bytes, and whether some did not fit.
local function read(q, ids, room)
  local bodies, bytes, longest, first, step = {}, 0, 1, 1, 4
  while first <= #ids do
    local some = redis.call('HMGET', q.jobs, unpack(ids, first, math.min(first + step - 1, #ids)))
    for i = 1, #some do
      local length = some[i] and #some[i] or 0
      if bytes + length > room and (first + i > 2 or room < 1048576) then        -- BATCH_BYTES
        return bodies, bytes, true
      end
      bodies[first + i - 1], bytes, longest = some[i], bytes + length, math.max(longest, length)
    end
    first, step = first + step, math.max(1, math.min(16, math.floor((room - bytes) / longest)))
  end
  return bodies, bytes, false
end
