-- A moment, or the last one that a score of `delayed` can hold and a datetime can tell: the year 3084.
local function latest_moment(at) return math.min(at, 2 ^ 45 - 1) end
