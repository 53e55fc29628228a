-- What `facts` holds of a job, as bytes:
--    1      'h' while a delivery holds the job, 'a' while one that was claimed ahead does and was not extended since,
--           '-' when none does, 'e' once it has ended
--    2-7    number of the latest delivery      8-13   when that was claimed, ms (0: it waits again)
--   14-15   attempts     16-17   crashes       18     1 once it was lost ahead, else 0
--   19-25   the place it was claimed from, rank and turn; 255 and zeros: the one that the head of the job tells
--   26      length of what follows: the sender that claimed it
--   ended   6 bytes ended-at, 6 bytes how long the last run took (all ones: unknown), 4 bytes size of its result, then
--           the reason
-- Jobs that are claimed together for the first time share one entry, byte for byte: it is made, and looked at, once.
local entry = {}

-- of a job held by a delivery: `before` is its entry until now (nil: none); without a place, the one its head tells
function entry.held(kind, number, now, sender, before, place)
  return kind .. struct.pack('>I6I6', number, now) .. (before and string.sub(before, 14, 18) or '\0\0\0\0\0')
    .. (place and entry.packed(place) or '\255\0\0\0\0\0\0') .. string.char(#sender) .. sender
end

-- whether the delivery of this number holds the job
function entry.is_held(e, number)
  local kind, latest = struct.unpack('>c1I6', e)
  return latest == number and (kind == 'h' or kind == 'a')
end

-- whether it may be claimed into free slots only: it has crashed, or was lost ahead
function entry.is_wary(e) return string.sub(e, 16, 18) ~= '\0\0\0' end

-- a place as 7 bytes; the head of a job holds it so, too
function entry.packed(place) return struct.pack('>I1I6', math.floor(place / 2 ^ 45), place % 2 ^ 45) end

-- of a job that has ended
function entry.ended(e, now, took, size, reason)
  return 'e' .. string.sub(e, 2) .. struct.pack('>I6I6I4', now, took or 2 ^ 48 - 1, size) .. (reason or '')
end
