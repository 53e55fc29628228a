-- include: touch

-- Begin a numbered call on a queue: touch it, and see what its sender was last answered.
-- q.kept becomes the answer when this very call was here before. Returns an error reply to give up with, or nil.
local function enter(q, now, number)
  local refusal = touch(q, now)
  if refusal then return refusal end
  q.call = tonumber(number)
  local record = redis.call('GET', q.sender)
  if not record then return nil end
  local before, used = struct.unpack('>I6I6', record)
  if now - used > 900000 then return nil end                        -- SENDER_AGE
  if before > q.call then return redis.error_reply('STALE ' .. string.format('%.0f', before)) end
  if before == q.call then
    q.kept = string.sub(record, 13)
    redis.call('HDEL', q.jobs, '')                                  -- a full memory lets what follows a write pass
  end
  return nil
end
