-- What stands before a body in `jobs`. Of a long body the head is not worth its reading, so it tells no turn.
local function head(now, rank, turn, body)
  return struct.pack('>I6I1I6', now, rank, #body <= 4096 and turn or 0)
end
