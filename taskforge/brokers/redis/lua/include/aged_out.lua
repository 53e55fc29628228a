-- Whether a known job has ended and aged out, so that its id is free again; it is forgotten then.
local function aged_out(q, id)
  -- include: forget
  for _, index in ipairs({q.succeeded, q.results, q.dead, q.cancelled}) do
    local kept = redis.call('ZSCORE', index, id)
    if kept and tonumber(kept) <= q.now then forget(q, index, {id}); return true end
  end
  return false
end
