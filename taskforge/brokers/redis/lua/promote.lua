-- Make delayed jobs ready now. Returns a string of 1, or 0 for a job that is not delayed.
local keys   = KEYS     -- as include/queue names them, with the sender's record
local now    = ARGV[1]  -- ms, '' for the server's clock
local number = ARGV[2]  -- of the sender's call
local ids    = ARGV[3]  -- msgpack

-- include: queue
-- include: clock
-- include: enter
-- include: leave
-- include: promote
-- include: ring

local q = queue(keys, 0)
local refusal = enter(q, clock(now), number)
if refusal then return refusal end
local function chosen()
  ids = cmsgpack.unpack(ids)
  local scores = redis.call('ZMSCORE', q.delayed, unpack(ids))
  local due, answer, seen = {}, {}, {}
  for i = 1, #ids do
    answer[i] = '0'
    if scores[i] and not seen[ids[i]] then
      answer[i], seen[ids[i]] = '1', true
      due[#due + 1] = ids[i]; due[#due + 1] = scores[i]
    end
  end
  promote(q, due)
  if #due > 0 then ring(q) end
  return table.concat(answer)
end
local answer = q.kept or chosen()
leave(q, number, answer)
return answer
