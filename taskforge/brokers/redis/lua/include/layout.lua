-- Refuse a queue whose layout has another epoch: an error reply to give up with, or nil.
local function layout(q)
  local m = redis.call('GETRANGE', q.meta, 0, 1)
  if #m == 2 and m ~= '\0\1' then return redis.error_reply('LAYOUT ' .. struct.unpack('>I2', m)) end
  return nil
end
