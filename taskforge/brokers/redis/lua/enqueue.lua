-- Accept jobs into a queue, as ready or delayed; an id that is known changes nothing.
-- Returns a string of 1 (new) or 0 (known), one for each job.
local keys   = KEYS     -- as include/queue names them, with the sender's record
local now    = ARGV[1]  -- ms, '' for the server's clock
local number = ARGV[2]  -- of the sender's call
local jobs   = ARGV[3]  -- msgpack, as include/accept takes them

-- include: queue
-- include: clock
-- include: enter
-- include: leave
-- include: accept
-- include: ring

local q = queue(keys, 0)
local refusal = enter(q, clock(now), number)
if refusal then return refusal end
local answer, ringing = q.kept, false
if not answer then answer, ringing = accept(q, cmsgpack.unpack(jobs)) end
if ringing then ring(q) end
leave(q, number, answer)
return answer
