-- Look when time will next do something here, and keep it, so that calls before then need not look: when a delayed job
-- falls due, a lease runs out (not before reclaiming is allowed again), or a waiting job expires. Returns the moment of
-- the first two.
local function soonest(q, lease)
  local due = redis.call('ZRANGE', q.delayed, 0, 0, 'WITHSCORES')[2]
  local lapse = redis.call('ZRANGE', q.running, 0, 0, 'WITHSCORES')[2]
  local expiry = redis.call('ZRANGE', q.expiring, 0, 0, 'WITHSCORES')[2]
  local at = 2 ^ 48 - 1
  if due then at = math.floor(due / 256) end
  if lapse then at = math.min(at, math.ceil(math.max(tonumber(lapse), q.jumped + lease / 4 + 5000))) end
  q.due = math.min(at, tonumber(expiry) or at)
  return at
end
