-- Close a sender whose process has died, and give back what it still held: jobs go to the places they were claimed
-- from, and end as cancelled if they were asked to stop. Besides what is named, it held what its last call claimed.
-- Returns three values for each of these jobs: id, delivery number, and 1 if its run had started, which counts a crash.
local keys      = KEYS     -- as include/queue names them, with the record of that sender
local now       = ARGV[1]  -- ms, '' for the server's clock
local retention = ARGV[2]  -- msgpack: finished, results, result bytes, dead
local named     = ARGV[3]  -- msgpack: id, delivery number, 1 if its run had started or 0, and so on
local note      = ARGV[4]  -- an error for those that had

-- include: queue
-- include: clock
-- include: touch
-- include: leave
-- include: entry
-- include: amend
-- include: take_errors
-- include: give_back
-- include: ring

local q = queue(keys, 0)
local kept = redis.call('MGET', q.meta, q.sender)
local refusal = touch(q, clock(now), kept[1])
if refusal then return refusal end
redis.call('HDEL', q.jobs, '')        -- deletes nothing; but a full memory lets what follows a write pass
named, q.retention, q.expiry = cmsgpack.unpack(named), cmsgpack.unpack(retention), 0

local record = kept[2]
if record and q.now - struct.unpack('>I6', record, 7) < 900000 then                               -- SENDER_AGE
  local answer = cmsgpack.unpack(string.sub(record, 19))
  if type(answer) == 'table' then                      -- of an exchange, and of no other verb
    for _, id in ipairs(answer[3]) do
      named[#named + 1] = id; named[#named + 1] = answer[2]; named[#named + 1] = 0
    end
  end
end

-- Those that their deliveries still hold, each once: two lists, of ids and of entries, and an answer.
local function holding()
  local all, ids, entries, answer, place = {}, {}, {}, {}, {}
  for i = 1, #named, 3 do all[#all + 1] = named[i] end
  local facts = #all > 0 and redis.call('HMGET', q.facts, unpack(all)) or {}
  for i = 1, #all do
    local id, number, started, e = all[i], named[3 * i - 1], named[3 * i], facts[i]
    if e and entry.is_held(e, number) then
      local n = place[id] or #ids + 1
      place[id], ids[n], entries[n] = n, id, entries[n] or e
      answer[3 * n - 2], answer[3 * n - 1], answer[3 * n] = id, number, math.max(answer[3 * n] or 0, started)
    end
  end
  return ids, entries, answer
end

local ids, entries, answer = holding()
if #ids > 0 then
  local failed, errors = {}, {}
  for i = 1, #ids do
    if answer[3 * i] == 1 then
      entries[i] = amend.count(entries[i], 0, 1)
      failed[#failed + 1], errors[#errors + 1] = ids[i], note
    end
  end
  redis.call('ZREM', q.running, unpack(ids))
  if #failed > 0 then take_errors(q, failed, errors) end
  give_back(q, ids, entries)
  if q.moved then ring(q) end
end
leave(q, 2 ^ 48 - 1, '')              -- above any number that a call has: see include/enter
return answer
