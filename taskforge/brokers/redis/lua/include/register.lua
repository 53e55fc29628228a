-- The record of the register of workers that the other fragments pass along: its keys by name.
local function register(keys)
  return {cards = keys[1], lives = keys[2], wishes = keys[3], ends = keys[4]}
end
