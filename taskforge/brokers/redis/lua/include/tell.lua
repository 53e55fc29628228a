-- Tell those who wait for the ends of these jobs; a missed message is made good by their reading again.
local function tell(q, ids)
  if redis.call('EXISTS', q.waiters) == 0 then return end
  local channels = redis.call('HMGET', q.waiters, unpack(ids))
  for i = 1, #ids do
    if channels[i] then
      for channel in string.gmatch(channels[i], '[^\n]+') do redis.call('PUBLISH', channel, ids[i]) end
      redis.call('HDEL', q.waiters, ids[i])
    end
  end
end
