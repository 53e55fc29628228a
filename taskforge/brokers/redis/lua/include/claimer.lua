-- The sender that claimed a held job, as its entry (include/entry) tells.
local function claimer(e) return string.sub(e, 27, 26 + string.byte(e, 26)) end
