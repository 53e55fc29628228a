-- Save what `touch` took, as it is now. Level, and what a later level has added at the end, stay as they were.
local function save(q)
  local m = q.saved
  local state = struct.pack('>I6I6I6I1I6I6I6I6', q.now, math.max(0, q.due), q.jumped, q.cut, q.swept, q.turn, q.number,
    math.max(0, q.bytes))
  redis.call('SET', q.meta, m and string.sub(m, 1, 4) .. state .. string.sub(m, 48) or '\0\1\0\1' .. state)
end
