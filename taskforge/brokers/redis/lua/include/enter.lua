-- include: touch

-- Begin a numbered call on a queue: touch it, and see what its sender was last answered.
-- q.kept becomes the answer when this very call was here before. Returns an error reply to give up with, or nil.
local function enter(q, now, number)
  local read = redis.call('MGET', q.meta, q.sender)
  local refusal = touch(q, now, read[1])
  if refusal then return refusal end
  q.expiry = 0
  if not read[2] then return nil end
  local before, used, expiry = struct.unpack('>I6I6I6', read[2])
  if now - used > 900000 then return nil end                        -- SENDER_AGE
  number = tonumber(number)
  if before == 2 ^ 48 - 1 then return redis.error_reply('STALE closed') end                        -- by release
  if before > number then return redis.error_reply('STALE ' .. string.format('%.0f', before)) end
  q.expiry = expiry
  if before == number then
    q.kept = string.sub(read[2], 19)
    redis.call('HDEL', q.jobs, '')     -- deletes nothing; but a full memory lets what follows a write pass
  end
  return nil
end
