-- Ask to be told of a job's end on a channel, and read the job. Returns a row of include/records, or nothing when the
-- job is unknown. One that has ended is not registered.
local keys    = KEYS     -- as include/queue names them
local now     = ARGV[1]  -- ms, '' for the server's clock
local id      = ARGV[2]
local channel = ARGV[3]

-- include: queue
-- include: clock
-- include: layout
-- include: records

local q = queue(keys, 0)
local refusal = layout(q)
if refusal then return refusal end
local row = records(q, clock(now), {id}, true)[1]
if row and (row[2] == 'ready' or row[2] == 'delayed' or row[2] == 'running') then
  local channels = {channel}
  for other in string.gmatch(redis.call('HGET', q.waiters, id) or '', '[^\n]+') do
    if other ~= channel and #channels < 32 then channels[#channels + 1] = other end        -- the latest 32
  end
  redis.call('HSET', q.waiters, id, table.concat(channels, '\n'))
end
return row
