-- include: entry

-- What few calls need of entries (see include/entry): to read parts of one, and to make another of it.
local amend = {}

local none, by_head = '\0\0\0\0\0\0', '\255\0\0\0\0\0\0'

-- of a job that was never delivered
function amend.fresh(place)
  return amend.set_place('-' .. string.rep('\0', 17) .. by_head .. '\0', place)
end

-- the place, or nil when the head of the job tells it
function amend.place(e)
  local rank, turn = struct.unpack('>I1I6', e, 19)
  return rank < 255 and rank * 2 ^ 45 + turn or nil
end

function amend.set_place(e, place) return string.sub(e, 1, 18) .. entry.packed(place) .. string.sub(e, 26) end

-- attempts, crashes and rank, as 5 bytes
function amend.told(e) return string.sub(e, 14, 17) .. string.sub(e, 19, 19) end

-- with so many attempts and crashes more; both stop at what two bytes hold
function amend.count(e, attempts, crashes)
  local a, c = struct.unpack('>I2I2', e, 14)
  return string.sub(e, 1, 13) .. struct.pack('>I2I2', math.min(a + attempts, 65535), math.min(c + crashes, 65535))
    .. string.sub(e, 18)
end

function amend.is_ahead(e) return string.byte(e) == 97 end

-- of a held job that its worker was silent about for a lease
function amend.lapsed(e)
  if not amend.is_ahead(e) then return amend.count(e, 0, 1) end
  return string.sub(e, 1, 17) .. '\1' .. string.sub(e, 19)
end

-- of a job that has begun to run, however it was claimed
function amend.begun(e) return 'h' .. string.sub(e, 2) end

-- of a job that goes back to waiting
function amend.released(e) return '-' .. string.sub(e, 2, 7) .. none .. string.sub(e, 14) end

-- of a job that is to start over: only its number goes on
function amend.again(e) return '-' .. string.sub(e, 2, 7) .. string.rep('\0', 11) .. by_head .. '\0' end

-- where the ending begins
local function tail(e) return 27 + string.byte(e, 26) end

-- when an ended job ended
function amend.ended_at(e) return (struct.unpack('>I6', e, tail(e))) end

-- the bytes of an ended job's result
function amend.size(e) return (struct.unpack('>I4', e, tail(e) + 12)) end
