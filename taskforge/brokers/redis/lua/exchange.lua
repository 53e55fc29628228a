-- Settle a batch of deliveries and claim the next one, over any number of queues: all settlements first, with the jobs
-- they enqueue, then queue by queue what time has brought, and the claim, within the slots and bytes that are left.
-- Returns per queue: settlements that came too late (from 1), ids of lost claims (of a repeated call), 1 to look again
-- at once, ms until something is due (-1: nothing), and the claim: its number, ids, places, bodies, and a list of
-- position (from 1) and 4 bytes attempts and crashes of those delivered before.
local keys    = KEYS     -- queue by queue, as include/queue names them, each time with the sender's record
local now     = ARGV[1]  -- ms, '' for the server's clock
local number  = ARGV[2]  -- of the sender's call
local claimer = ARGV[3]  -- the sender, at most 255 bytes
local lease   = ARGV[4]  -- ms
local request = ARGV[5]  -- msgpack: parts, free slots per pool, jobs to enqueue on success, keep of expired jobs (ms);
                         -- a part for each queue: settlements (rows of include/settle), the pools it needs (from 1),
                         -- retention (finished, results, result bytes, dead); a job to enqueue: queue and row of its
                         -- settlement, its own queue, all from 1, and a row of include/accept

-- include: queue
-- include: clock
-- include: enter
-- include: leave
-- include: settle
-- include: accept
-- include: expire
-- include: promote
-- include: reclaim
-- include: sweep
-- include: claim
-- include: recall
-- include: next_due
-- include: ring

now, lease = clock(now), tonumber(lease)
local parts, free, thens, keep = unpack(cmsgpack.unpack(request))
local room = 1048576                                   -- BATCH_BYTES
local queues, late, good = {}, {}, {}

for i = 1, #parts do
  local q = queue(keys, (i - 1) * #keys / #parts)
  local refusal = enter(q, now, number)
  if refusal then return refusal end
  q.retention, queues[i] = parts[i][3], q
end

-- A full memory lets what follows a write pass: settlements make room.
if #queues > 0 then redis.call('HDEL', queues[1].jobs, '') end

for i, q in ipairs(queues) do
  late[i], good[i] = {}, {}
  if not q.kept then late[i], good[i] = settle(q, parts[i][1]) end
end

local jobs = {}
for _, job in ipairs(thens) do
  if good[job[1]][job[2]] then
    jobs[job[3]] = jobs[job[3]] or {}
    table.insert(jobs[job[3]], job[4])
  end
end
for i, rows in pairs(jobs) do
  local q = queues[i]
  for first = 1, q.kept and 0 or #rows, 250 do         -- BATCH: Lua cannot unpack any number of them
    local _, ringing = accept(q, {unpack(rows, first, math.min(first + 249, #rows))})
    q.moved = q.moved or ringing
  end
end

local function slots(pools)
  local want = #pools > 0 and math.huge or 0
  for _, pool in ipairs(pools) do want = math.min(want, free[pool]) end
  return want
end

local function again(q)
  local ids, places, bodies, counts, lost
  local before = cmsgpack.unpack(q.kept)
  ids, places, bodies, counts, lost = recall(q, before[2], before[3])
  return {before[1], lost, 1, next_due(q, lease), before[2], ids, places, bodies, counts}, q.kept
end

local function serve(q, i, want)
  local stuck = expire(q, keep)
  local more = promote(q)
  more = reclaim(q, lease) or more
  sweep(q)
  local ids, places, bodies, counts, bytes, cut = {}, {}, {}, {}, 0, false
  local claiming = want > 0 and not stuck and room > 0
  if claiming then ids, places, bodies, counts, bytes, cut = claim(q, math.min(want, 250), room, lease, claimer) end
  room = room - bytes
  if not claiming and q.moved then ring(q) end         -- for another worker
  more = want > 0 and (stuck or cut or room <= 0 or #ids < want and (more or #ids == 250))        -- 250: BATCH
  return {late[i], {}, more and 1 or 0, next_due(q, lease), q.number, ids, places, bodies, counts},
    cmsgpack.pack({late[i], q.number, ids})
end

local answers = {}
for i, q in ipairs(queues) do
  local want, kept = slots(parts[i][2]), nil
  if q.kept then answers[i], kept = again(q) else answers[i], kept = serve(q, i, want) end
  for _, pool in ipairs(parts[i][2]) do free[pool] = free[pool] - #answers[i][6] end
  leave(q, kept)
end
return answers
