-- Ring a queue's bell: wakes one waiting worker. One token is enough, for who claims all it can rings again.
local function ring(q)
  if redis.call('EXISTS', q.bell) == 0 then redis.call('RPUSH', q.bell, 1) end
end
