-- Load what a queue's `meta` keeps, and see whether the clock jumped since it was last touched.
-- Returns an error reply to give up with when the layout has another epoch, else nil.
local function touch(q, now)
  local m = redis.call('HMGET', q.meta, 'epoch', 'now', 'jumped', 'cut', 'swept', 'turn', 'number', 'bytes')
  if m[1] and m[1] ~= '1' then return redis.error_reply('LAYOUT ' .. m[1]) end
  q.now, q.saved, q.jumped, q.cut = now, m, tonumber(m[3]) or 0, m[4]
  q.swept, q.turn = tonumber(m[5]) or 0, tonumber(m[6]) or 0
  q.number, q.bytes = tonumber(m[7]) or 0, tonumber(m[8]) or 0
  local last = tonumber(m[2])
  if last and now > last + 10000 then q.jumped = now end            -- CLOCK_JUMP
  if last and now < last then q.jumped, q.cut = now, '1' end
  return nil
end
