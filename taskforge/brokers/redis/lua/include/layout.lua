-- Refuse a queue whose layout has another epoch: an error reply to give up with, or nil.
local function layout(q)
  local epoch = redis.call('HGET', q.meta, 'epoch')
  if epoch and epoch ~= '1' then return redis.error_reply('LAYOUT ' .. epoch) end
  return nil
end
