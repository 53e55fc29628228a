-- The note on a held job whose worker was silent for a whole lease, to stand among its errors (brokers/losses.py).
local function loss(q, e)
  return '\193' .. struct.pack('>I6', q.now) .. string.sub(e, 8, 13) .. string.sub(e, 27)
end
