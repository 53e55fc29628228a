-- Save what changed of what `touch` loaded.
local function save(q)
  local m, set = q.saved, {'now', q.now}
  local function put(name, value, saved)
    if value ~= saved then set[#set + 1] = name; set[#set + 1] = value end
  end
  if not m[1] then put('epoch', '1'); put('level', '1') end
  put('jumped', q.jumped, tonumber(m[3]) or 0)
  put('cut', q.cut, m[4])
  put('swept', q.swept, tonumber(m[5]) or 0)
  put('turn', q.turn, tonumber(m[6]) or 0)
  put('number', q.number, tonumber(m[7]) or 0)
  put('bytes', q.bytes, tonumber(m[8]) or 0)
  redis.call('HSET', q.meta, unpack(set))
end
