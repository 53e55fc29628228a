-- Whether any of those keys exists that most queues do not have most of the time, so that the end or the claim of a job
-- need not look into each. Found out once a call; who fills one of them afterwards sets q.rare.
local function rare(q)
  if q.rare == nil then q.rare = redis.call('EXISTS', q.stopping, q.progress, q.waiters, q.expiring) > 0 end
  return q.rare
end
