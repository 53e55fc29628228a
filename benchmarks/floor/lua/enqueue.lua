-- Accept jobs as ready, and ring the bell. An id that is queued, running or among the finished changes nothing.
-- KEYS  jobs ready seq finished bell
-- ARGV  id body id body …
-- Returns how many were new.
local jobs, ready, seq, finished, bell = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local call, count = redis.call, #ARGV / 2
local RANK = 1099511627776                                -- 2^40: a place is rank * 2^40 + turn

if count == 1 then                                        -- the common case, without tables
  local id, body = ARGV[1], ARGV[2]
  if call('ZSCORE', finished, id) or call('HSETNX', jobs, id, body) == 0 then return 0 end
  call('ZADD', ready, string.byte(body) * RANK + call('INCR', seq), id)
else
  local ids = {}
  for i = 1, count do ids[i] = ARGV[2 * i - 1] end
  local known, done, seen = call('HMGET', jobs, unpack(ids)), call('ZMSCORE', finished, unpack(ids)), {}
  local turn, put, places, k = call('INCRBY', seq, count) - count, {}, {}, 0
  for i = 1, count do
    local id = ids[i]
    if not known[i] and not done[i] and not seen[id] then
      local body = ARGV[2 * i]
      seen[id] = true
      put[k + 1], put[k + 2] = id, body
      places[k + 1], places[k + 2] = string.byte(body) * RANK + turn + i, id
      k = k + 2
    end
  end
  if k == 0 then return 0 end
  call('HSET', jobs, unpack(put))
  call('ZADD', ready, unpack(places))
  count = k / 2
end
if call('EXISTS', bell) == 0 then call('RPUSH', bell, 1) end      -- one token: it wakes one waiting worker
return count
