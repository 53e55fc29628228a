-- include: ended
-- include: ending
-- include: entry

-- Settle deliveries. Three values for each: id, delivery number, and, for a plain ack whose record is kept for `keep`
-- ms, how long it took (ms); else a list: way (1 ack, 2 requeue, 3 bury, 4 cancel), keep (ms), took (ms, or false),
-- and then, as far as there is a need: reason, result or false, attempts to count, delay (ms; 0: last of its
-- priority; -1: to the place it was claimed from), error or false, crashes to count. Returns the settlements (counted
-- from 1) that came too late, and by which one each id was settled.
local function settle(q, given, keep)
  local n, late, settled = #given / 3, {}, {}
  if n == 0 then return late, settled end
  local ids = {}
  for i = 1, n do ids[i] = given[3 * i - 2] end
  local entries = redis.call('HMGET', q.facts, unpack(ids))
  local gone, plain, results, dead, cancelled = {}, nil, nil, nil, nil
  local back, values, failed, errors = nil, {}, {}, {}
  local last, number, held = nil, nil, false
  for i = 1, n do
    local id, e, how = ids[i], entries[i], given[3 * i]
    if e ~= last or given[3 * i - 1] ~= number then    -- mostly the same for all that were claimed together
      last, number = e, given[3 * i - 1]
      held = e and entry.is_held(e, number)
    end
    if not held or settled[id] then
      late[#late + 1] = i
    else
      settled[id], gone[#gone + 1] = i, id
      if type(how) == 'number' then
        plain = ending(plain, q, id, e, keep, how, 0, nil)
      else
        local way, kept, took, reason, result, counts, _, error, crashes = unpack(how)
        if error then failed[#failed + 1], errors[#errors + 1] = id, error end
        if way == 2 then
          back = back or {{}, {}, {}}
          local m = #back[1] + 1
          back[1][m], back[2][m], back[3][m] = id, e, how
        elseif way == 1 and result then
          values[#values + 1] = id; values[#values + 1] = result
          q.bytes = q.bytes + #result
          results = ending(results, q, id, e, kept, took, #result, nil)
        elseif way == 1 then
          plain = ending(plain, q, id, e, kept, took, 0, nil)
        else
          -- include: amend
          if counts > 0 or crashes then e = amend.count(e, counts, crashes or 0) end
          if way == 3 then dead = ending(dead, q, id, e, kept, took, 0, reason)
          else cancelled = ending(cancelled, q, id, e, kept, took, 0, reason) end
        end
      end
    end
  end
  if #gone == 0 then return late, settled end
  redis.call('ZREM', q.running, unpack(gone))
  if #failed > 0 then
    -- include: take_errors
    take_errors(q, failed, errors)
  end
  if #values > 0 then redis.call('HSET', q.values, unpack(values)) end
  ended(q, q.succeeded, plain)
  ended(q, q.results, results)
  ended(q, q.dead, dead)
  ended(q, q.cancelled, cancelled)
  if back then
    -- include: requeue
    requeue(q, back[1], back[2], back[3])
  end
  return late, settled
end
