-- Settle a batch, then claim the next one.
-- KEYS  jobs ready running deliveries finished delayed bell seq, then a result key for each result
-- ARGV  want lease_ms keep settlements results, then id number …, then result channel …
-- Returns accepted, ids, bodies, numbers (or nil: all are first deliveries).
-- A running job's score is deadline * 4096 + delivery number: lease and fencing token are one number.
local jobs, ready, running, deliveries = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local finished, delayed, bell, seq = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local want, keep, settlements, results = tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local call = redis.call
local RANK = 1099511627776                                -- 2^40: a place is rank * 2^40 + turn
local time = call('TIME')
local now = (time[1] - 1735689600) * 1000 + math.floor(time[2] / 1000)        -- ms since 2025: the score stays below 2^53
local accepted, k = {}, 0

local function make_ready(ids)                            -- last of their rank
  local bodies = call('HMGET', jobs, unpack(ids))
  for i = 1, #ids do call('ZADD', ready, string.byte(bodies[i]) * RANK + call('INCR', seq), ids[i]) end
end

if settlements > 0 then
  local ids = {}
  for i = 1, settlements do ids[i] = ARGV[4 + 2 * i] end
  local scores = call('ZMSCORE', running, unpack(ids))
  local last_score, last_number, holds                    -- jobs of one claim share both: compare interned strings
  for i = 1, settlements do
    local score, number = scores[i], ARGV[5 + 2 * i]
    if score ~= last_score or number ~= last_number then
      last_score, last_number, holds = score, number, score and score % 4096 == tonumber(number)
    end
    if holds then k = k + 1; accepted[k] = ids[i] else ids[i] = false end
  end
  if k > 0 then
    call('ZREM', running, unpack(accepted))
    call('HDEL', jobs, unpack(accepted))
    if call('EXISTS', deliveries) == 1 then call('HDEL', deliveries, unpack(accepted)) end
    local add, first, at = {}, math.max(1, k - keep + 1), string.format('%d', now)
    for i = first, k do local j = 2 * (i - first); add[j + 1], add[j + 2] = at, accepted[i] end
    call('ZADD', finished, unpack(add))
    call('ZREMRANGEBYRANK', finished, 0, -keep - 1)
    local base = 5 + 2 * settlements
    for i = 1, results do                                 -- results belong to the first settlements
      if ids[i] then
        local result, channel = ARGV[base + 2 * i - 1], ARGV[base + 2 * i]
        call('SET', KEYS[8 + i], result, 'PX', 3600000)
        if channel ~= '' then call('PUBLISH', channel, ids[i] .. result) end
      end
    end
  end
end

local lost = call('ZRANGE', running, '-inf', now * 4096, 'BYSCORE', 'LIMIT', 0, 100)          -- leases that ran out
if #lost > 0 then
  local scores = call('ZMSCORE', running, unpack(lost))
  for i = 1, #lost do call('HSET', deliveries, lost[i], scores[i] % 4096) end
  make_ready(lost)
  call('ZREM', running, unpack(lost))
end
local due = call('ZRANGE', delayed, '-inf', now, 'BYSCORE', 'LIMIT', 0, 100)
if #due > 0 then
  make_ready(due)
  call('ZREM', delayed, unpack(due))
end

if want == 0 then return {k, {}, {}} end
local ids = call('ZRANGE', ready, 0, want - 1)
local n = #ids
if n == 0 then call('DEL', bell); return {k, ids, ids} end
local numbers, add, score = false, {}, (now + ARGV[2]) * 4096
if call('EXISTS', deliveries) == 1 then
  numbers = call('HMGET', deliveries, unpack(ids))
  for i = 1, n do numbers[i] = (numbers[i] or 0) + 1; add[2 * i - 1], add[2 * i] = score + numbers[i], ids[i] end
else
  score = string.format('%.0f', score + 1)                -- one string for all, instead of a number to format for each
  for i = 1, n do add[2 * i - 1], add[2 * i] = score, ids[i] end
end
call('ZREMRANGEBYRANK', ready, 0, n - 1)
call('ZADD', running, unpack(add))
if n == want and call('EXISTS', ready, bell) == 1 then    -- more is left: pass the bell on to the next waiting worker
  if call('EXISTS', bell) == 0 then call('RPUSH', bell, 1) end
end
return {k, ids, call('HMGET', jobs, unpack(ids)), numbers}
