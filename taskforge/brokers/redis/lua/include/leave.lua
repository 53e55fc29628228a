-- include: save

-- End a numbered call on a queue, and keep the answer for when the call comes again. A repeated call is kept once more,
-- so that it too writes something that a wait for durability can wait for. How long the record lives is not said with
-- every call, but anew when a minute of SENDER_AGE is over.
local function leave(q, number, answer)
  save(q)
  local prolong = q.expiry < q.now + 840000
  if prolong then q.expiry = q.now + 900000 end
  local record = struct.pack('>I6I6I6', tonumber(number), q.now, q.expiry) .. answer
  if prolong then redis.call('SET', q.sender, record, 'PX', 900000)
  else redis.call('SET', q.sender, record, 'KEEPTTL') end
end
