-- What `facts` holds of a job, as bytes:
--    1      'h' while a delivery holds the job, '-' when none does, 'e' once it has ended
--    2-7    number of the latest delivery      8-13   when that was claimed, ms (0: it waits again)
--   14-15   attempts     16-17   crashes       18     length of what follows: the sender that claimed it
--   then    the place it was claimed from, in decimal
--   ended   '|', 6 bytes ended-at, 6 bytes how long the last run took (all ones: unknown), 4 bytes size of its result,
--           then the reason
local entry = {}

-- of a job that was never delivered
function entry.fresh(place)
  return '-' .. string.rep('\0', 17) .. string.format('%.0f', place)
end

-- where the place begins
local function tail(e) return 19 + string.byte(e, 18) end

function entry.place(e) return tonumber(string.match(e, '^[^|]+', tail(e))) end

function entry.set_place(e, place)
  local _, last = string.find(e, '^[^|]+', tail(e))
  return string.sub(e, 1, tail(e) - 1) .. string.format('%.0f', place) .. string.sub(e, last + 1)
end

-- with so many attempts and crashes more; both stop at what two bytes hold
function entry.count(e, attempts, crashes)
  local a, c = struct.unpack('>I2I2', e, 14)
  return string.sub(e, 1, 13) .. struct.pack('>I2I2', math.min(a + attempts, 65535), math.min(c + crashes, 65535))
    .. string.sub(e, 18)
end

-- of a job that goes back to waiting
function entry.released(e)
  return '-' .. string.sub(e, 2, 7) .. string.rep('\0', 6) .. string.sub(e, 14)
end

-- of a job that is to start over: only its number goes on
function entry.again(e)
  return '-' .. string.sub(e, 2, 7) .. string.rep('\0', 11) .. string.format('%.0f', entry.place(e))
end

-- the bytes of an ended job's result
function entry.size(e)
  return struct.unpack('>I4', e, string.find(e, '|', tail(e), true) + 13)
end
