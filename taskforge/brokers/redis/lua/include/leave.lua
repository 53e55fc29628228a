-- include: save

-- End a numbered call on a queue, and keep the answer for when the call comes again. A repeated call is kept once more,
-- so that it too writes something that a wait for durability can wait for.
local function leave(q, answer)
  save(q)
  redis.call('SET', q.sender, struct.pack('>I6I6', q.call, q.now) .. answer, 'PX', 900000)
end
