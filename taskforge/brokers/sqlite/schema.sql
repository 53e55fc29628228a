-- The tables of one broker file, level 1. Moments and spans are unix milliseconds; bytes are kept as they came.

-- The layout's version. Another epoch is another layout; a level only adds. `number` is where new queues begin to count
-- deliveries: at the end of the longest count of any forgotten queue, so that a reused id never sees a number twice.
create table meta(
    epoch integer not null,
    level integer not null,
    number integer not null default 0
);

-- One row per queue: its counters and what time it last saw.
create table queues(
    id integer primary key,
    prefix text not null,                       -- the app; several may share a file
    name text not null,
    known integer,                              -- last announced; null: not among the known queues
    seen integer,                               -- the last `now`, or shortly before (the clock jump rule)
    hold integer not null default 0,            -- nothing is reclaimed before this moment
    swept integer not null default 0,           -- when aged-out records were last looked for
    turn integer not null default 0,            -- the last turn given to a job that was put last again
    number integer not null,                    -- the last delivery number given out, one per claimed batch
    finished integer not null default 0,        -- how many records stand on each shelf
    results integer not null default 0,
    dead integer not null default 0,
    cancelled integer not null default 0,
    result_bytes integer not null default 0,    -- of all results together
    unique(prefix, name)
);

-- One row per job. Its place among the ready ones is (rank, turn): set anew by enqueue, promotion, retry, redrive and
-- reprioritise, kept while it runs, so that a hand-back returns to where it was claimed from.
create table jobs(
    seq integer primary key,
    queue integer not null,
    id text not null,
    state text not null,
    rank integer not null,                      -- -priority: lower first
    turn integer not null,
    number integer not null default 0,          -- of its latest delivery: the fencing token while it runs
    attempts integer not null default 0,
    crashes integer not null default 0,
    retrying integer not null default 0,        -- 1: delayed because of a retry
    enqueued integer not null,
    due integer,                                -- while delayed
    expires integer,                            -- until first claimed or ended
    lease integer,                              -- while running: when the lease runs out
    started integer,                            -- once running: when its latest delivery was claimed
    worker text,                                -- while running: the sender that claimed it
    stop integer,                               -- while running: it was asked to stop; how long its record is then kept
    ended integer,
    took integer,                               -- how long the last run lasted
    reason text,                                -- why it is dead or cancelled
    kept_until integer,                         -- from here on the record does not exist for readers
    shelf text,                                 -- which bound of Retention counts it: finished, results, dead, cancelled
    result_bytes integer,
    ahead integer not null default 0,           -- 1: running, claimed ahead, not extended since; 2: was lost so once
    body blob,                                  -- null: too long to be copied with the row, so it is in bodies
    unique(queue, id)
);
create index ready on jobs(queue, rank, turn) where state = 'ready';
create index delayed on jobs(queue, due, rank, id) where state = 'delayed';
create index running on jobs(queue, lease) where state = 'running';
create index expiring on jobs(queue, expires) where expires is not null;
create index ended on jobs(queue, shelf, kept_until) where shelf is not null;

-- Beside the jobs, so that moving a job between states does not copy these. `bodies` holds the long ones only.
create table bodies(seq integer primary key, body blob not null);
create table results(seq integer primary key, value blob not null);
create table progress(seq integer primary key, value blob not null);
create table errors(n integer primary key, seq integer not null, error blob not null);
create index errors_of on errors(seq);

-- Who wants to be told of a job's end.
create table waiters(n integer primary key, seq integer not null, channel text not null, unique(seq, channel));
create index waiters_of on waiters(channel);

-- The last call of each sender in each queue with its answer (JSON), so that a call sent again changes nothing.
create table senders(
    queue integer not null,
    sender text not null,
    number integer not null,
    used integer not null,
    answer text not null,
    primary key(queue, sender)
) without rowid;
