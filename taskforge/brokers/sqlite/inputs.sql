-- What the scripts of verbs.sql read and write on their way: temporary tables and views, each connection's own.
-- Rows without an id are filling.

-- Input of `accept`: jobs that the queue does not know.
create temp table arriving(position integer primary key, id, body, rank, due, expires);

-- Input of `match` and `settle`: deliveries and, for `settle`, how each one ends, or how it runs again.
create temp table deliveries(
    position integer primary key,
    id,
    number,
    keep,
    took,
    result,
    state default 'succeeded',                  -- how the job ends, if it does
    reason,
    counts default 0,                           -- 1: an attempt is spent
    crashed default 0,                          -- 1: the process that ran it alone died of it
    error,
    again default 0,                            -- 1: it shall run again, unless it was asked to stop
    delay                                       -- then; null: back to its place, 0: last of its priority
);

-- Output of `match`: those of the deliveries that hold their job, each job once. Input of `finish`: the jobs that end.
create temp table held(
    seq integer primary key, position, stop, keep, took, result, state, reason, counts, crashed, error,
    again default 0, delay
);

-- Those of `held` that run again, and those that end.
create temp view returned as select seq, position, counts, delay from held where again and stop is null;
create temp view ending as
    select seq, keep, took, result, state, reason, counts from held where not again or stop is not null;

-- Input of `forget`: records that go for good.
create temp table gone(seq integer primary key, shelf, result_bytes);

-- Output of `claim`, in order. A body that is not small is left where it is.
create temp table claimed(n integer primary key, seq, id, attempts, crashes, rank, enqueued, ahead, size, body);

-- Output of `finish` and `forget`: who is to be told which job's end.
create temp table told(channel, id);

-- Output of `exchange`: when it happened, the refused positions and the claimed ids as JSON, the claim's number, and
-- the rest as in protocol.Exchange; `due` and `lapse` as in `standing`; `rings`: wake a worker.
create temp table said(now, refused, number, ids, more, starved, due, lapse, rings);

-- The last turn of each queue: what is put last gets a higher one. New jobs take their turn from their seq, which only
-- grows; between two of these there is room for all that is put last again.
create temp view turns(queue, last) as
    select id, max(turn + 1, (select coalesce(max(seq), 0) from jobs) << 30) from queues;

-- How queues stand. `wary`: whether the best ready job may not be claimed ahead, null if none is ready; `due`: when the
-- next delayed job falls due; `lapse`: when the next lease may be taken for run out.
create temp view standing(queue, wary, due, lapse) as
    select id,
        (select crashes > 0 or ahead = 2 from jobs where queue = q.id and state = 'ready' order by rank, turn limit 1),
        (select min(due) from jobs where queue = q.id and state = 'delayed'),
        (select max(min(lease), q.hold) from jobs where queue = q.id and state = 'running')
    from queues q;

-- Empty all tables: a call that failed may have left something.
create temp view afresh(x) as values(0);
create temp trigger do_afresh instead of insert on afresh begin
    delete from arriving;
    delete from deliveries;
    delete from held;
    delete from gone;
    delete from claimed;
    delete from told;
end;
