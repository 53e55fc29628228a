-- Take what a queue's `meta` holds, read just now, and see whether the clock jumped since the queue was last touched.
-- Returns an error reply to give up with when the layout has another epoch, else nil.
local function touch(q, now, m)
  local epoch, last
  q.now, q.saved = now, m
  if not m then
    q.due, q.jumped, q.cut, q.swept, q.turn, q.number, q.bytes = 2 ^ 48 - 1, 0, 0, 0, 0, 0, 0
    return nil
  end
  epoch, last = struct.unpack('>I2', m), nil
  if epoch ~= 1 then return redis.error_reply('LAYOUT ' .. epoch) end
  last, q.due, q.jumped, q.cut, q.swept, q.turn, q.number, q.bytes = struct.unpack('>I6I6I6I1I6I6I6I6', m, 5)
  if now > last + 10000 then q.jumped, q.due = now, 0 end          -- CLOCK_JUMP
  if now < last then q.jumped, q.due, q.cut = now, 0, 1 end
  return nil
end
