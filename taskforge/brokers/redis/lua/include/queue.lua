-- The record of one queue that the other fragments pass along: its keys by name. `at` keys stand before its own;
-- the sender's record, where a call has one, follows them.
local function queue(keys, at)
  local names = {
    'jobs', 'ready', 'delayed', 'retrying', 'running', 'facts', 'succeeded', 'results', 'dead', 'cancelled',
    'values', 'expiring', 'stopping', 'errors', 'progress', 'waiters', 'bell', 'meta', 'sender',
  }
  local q = {}
  for i = 1, #names do q[names[i]] = keys[at + i] end
  return q
end
