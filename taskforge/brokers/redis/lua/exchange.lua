-- Settle a batch of deliveries and claim the next one, over any number of queues: all settlements first, with the jobs
-- they enqueue, then queue by queue what time has brought, and the claim, within the slots and bytes that are left.
-- Returns per queue: settlements that came too late (from 1), ids of lost claims (of a repeated call), 1 to look again
-- at once, ms until something is due (-1: nothing; too soon it may be after a claim), 1 if there are jobs but was no
-- room, and the claim: its number, ids, bodies, and a list of position (from 1) and 5 bytes attempts, crashes and rank
-- for those with an entry.
local keys    = KEYS     -- queue by queue, as include/queue names them, each time with the sender's record
local now     = ARGV[1]  -- ms, '' for the server's clock
local number  = ARGV[2]  -- of the sender's call
local claimer = ARGV[3]  -- the sender, at most 255 bytes
local lease   = ARGV[4]  -- ms
local request = ARGV[5]  -- msgpack: parts, free slots per pool, jobs to enqueue on success, keep of expired jobs (ms);
                         -- a part for each queue: settlements and keep, as include/settle takes them, the pools it
                         -- needs (from 1), how many more than free slots it may be given, retention (finished,
                         -- results, result bytes, dead); six values for a job to enqueue: queue and position of its
                         -- settlement, its own queue, all from 1, and what include/accept takes

-- include: queue
-- include: clock
-- include: enter
-- include: leave
-- include: settle
-- include: accept
-- include: sweep
-- include: claim
-- include: soonest
-- include: ring

now, lease = clock(now), tonumber(lease)
local parts, free, thens, keep = unpack(cmsgpack.unpack(request))
local space = 1048576                                  -- BATCH_BYTES
local queues, late, settled = {}, {}, {}

for i = 1, #parts do
  local q = queue(keys, (i - 1) * #keys / #parts)
  local refusal = enter(q, now, number)
  if refusal then return refusal end
  q.retention, queues[i] = parts[i][5], q
end

for i, q in ipairs(queues) do
  late[i], settled[i] = {}, {}
  if not q.kept then late[i], settled[i] = settle(q, parts[i][1], parts[i][2]) end
end

local jobs = {}
for i = 1, #thens, 6 do
  local from, position, to, id, body, more = unpack(thens, i, i + 5)
  if settled[from][parts[from][1][3 * position - 2]] == position then
    local given = jobs[to] or {}
    jobs[to] = given
    given[#given + 1] = id; given[#given + 1] = body; given[#given + 1] = more
  end
end
for i, given in pairs(jobs) do
  local q = queues[i]
  for first = 1, q.kept and 0 or #given, 750 do        -- BATCH: Lua cannot unpack any number of them
    local _, ringing = accept(q, {unpack(given, first, math.min(first + 749, #given))})
    q.moved = q.moved or ringing
  end
end

local function again(q)
  -- include: recall
  local before = cmsgpack.unpack(q.kept)
  local ids, bodies, counts, lost = recall(q, before[2], before[3])
  local due = soonest(q, lease)
  return {before[1], lost, 1, due < 2 ^ 48 - 1 and math.max(0, due - q.now) or -1, 0, before[2], ids, bodies, counts}
end

-- The free slots for this part, and all that it may be given.
local function room(pools, ahead)
  if #pools == 0 then return 0, 0 end
  local slots = math.huge
  for _, pool in ipairs(pools) do slots = math.min(slots, free[pool]) end
  return math.max(0, slots), math.max(0, slots + ahead)
end

-- What time has brought: whether so much has expired that nothing may be claimed yet, and whether there may be more.
local function pass_time(q)
  -- include: expire
  -- include: promote
  -- include: reclaim
  local stuck, more = expire(q, keep), promote(q)
  return stuck, reclaim(q, lease) or more
end

local function serve(q, part, late)
  local slots, want = room(part[3], part[4])
  local stuck, more, looked = false, false, q.now >= q.due
  if looked then stuck, more = pass_time(q) end
  sweep(q)
  local ids, bodies, counts, bytes, cut = {}, {}, {}, 0, nil
  local claiming = want > 0 and not stuck and space > 0
  if claiming then ids, bodies, counts, bytes, cut = claim(q, slots, math.min(want, 250), space, lease, claimer) end
  space = space - bytes
  if q.moved and (not claiming or cut == 'wary') then ring(q) end                   -- for another worker
  more = want > 0 and (stuck or cut == 'bytes' or space <= 0 or #ids < want and (more or #ids == 250))      -- BATCH
  if #ids == 0 then redis.call('HDEL', q.jobs, '') end                                 -- see include/enter
  local starved = want == 0 and #part[3] > 0 and redis.call('EXISTS', q.ready) or 0
  local due = q.due
  if looked or #ids == 0 and #part[3] > 0 then due = soonest(q, lease) end
  return {late, {}, more and 1 or 0, due < 2 ^ 48 - 1 and math.max(0, due - q.now) or -1, starved,
    q.number, ids, bodies, counts}, cmsgpack.pack({late, q.number, ids})
end

local answers = {}
for i, q in ipairs(queues) do
  local kept = q.kept
  if kept then answers[i] = again(q) else answers[i], kept = serve(q, parts[i], late[i]) end
  for _, pool in ipairs(parts[i][3]) do free[pool] = free[pool] - #answers[i][7] end
  leave(q, number, kept)
end
return answers
