-- Forget ended jobs that have aged out, at most 250 of each kind: once a second, or at once while some are left.
local function sweep(q)
  if q.now >= q.swept and q.now - q.swept < 1000 then return end
  -- include: forget
  local left, now = false, string.format('%.0f', q.now)
  for _, index in ipairs({q.succeeded, q.results, q.dead, q.cancelled}) do
    local ids = redis.call('ZRANGE', index, '-inf', now, 'BYSCORE', 'LIMIT', 0, 250)
    forget(q, index, ids, true)
    left = left or #ids == 250
  end
  if redis.call('EXISTS', q.ready, q.running) == 0 then redis.call('DEL', q.turns) end
  if not left then q.swept = q.now end
end
