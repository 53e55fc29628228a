-- How many ms until a delayed job falls due or a lease runs out (not before reclaiming is allowed again); -1: never.
local function next_due(q, lease)
  local due = redis.call('ZRANGE', q.delayed, 0, 0, 'WITHSCORES')
  local ends = redis.call('ZRANGE', q.running, 0, 0, 'WITHSCORES')
  local at = math.huge
  if due[2] then at = math.floor(due[2] / 256) end
  if ends[2] then at = math.min(at, math.max(tonumber(ends[2]), q.jumped + lease / 4 + 5000)) end
  if at == math.huge then return -1 end
  return math.max(0, math.ceil(at - q.now))
end
