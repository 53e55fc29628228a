-- The record of one queue that the other fragments pass along: its keys by name. `at` keys stand before its own;
-- the sender's record, where a call has one, follows them.
local function queue(keys, at)
  return {
    jobs = keys[at + 1],
    ready = keys[at + 2],
    delayed = keys[at + 3],
    retrying = keys[at + 4],
    running = keys[at + 5],
    facts = keys[at + 6],
    succeeded = keys[at + 7],
    results = keys[at + 8],
    dead = keys[at + 9],
    cancelled = keys[at + 10],
    values = keys[at + 11],
    expiring = keys[at + 12],
    stopping = keys[at + 13],
    errors = keys[at + 14],
    progress = keys[at + 15],
    waiters = keys[at + 16],
    bell = keys[at + 17],
    meta = keys[at + 18],
    turns = keys[at + 19],
    sender = keys[at + 20],
  }
end
