-- The bytes of errors, without those that say their lengths.
local function net(errors)
  local at, bytes = 1, 0
  while at < #errors do
    local length = struct.unpack('>I4', errors, at)
    at, bytes = at + 4 + length, bytes + length
  end
  return bytes
end

-- Keep errors of deliveries beside their jobs. When a job's next error would not fit, it replaces the earlier ones.
local function take_errors(q, ids, errors)
  local before, set = redis.call('HMGET', q.errors, unpack(ids)), {}
  for i = 1, #ids do
    local error = struct.pack('>I4', #errors[i]) .. errors[i]
    if before[i] and net(before[i]) + #errors[i] <= 32768 then error = before[i] .. error end        -- ERRORS_BYTES
    set[2 * i - 1], set[2 * i] = ids[i], error
  end
  redis.call('HSET', q.errors, unpack(set))
end
