-- The wishes in what is kept of a target (packed; false: nothing) that have not aged out: four values for each, what it
-- is about, when it was made, when it ages out (ms), the wish.
local function standing(kept, now)
  local found, all = {}, kept and cmsgpack.unpack(kept) or {}
  for i = 1, #all, 4 do
    if all[i + 2] > now then
      for n = i, i + 3 do found[#found + 1] = all[n] end
    end
  end
  return found
end
