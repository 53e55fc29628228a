-- The hot verbs as SQLite runs them. One INSERT into a view runs one script, the view's trigger, in a single step.
--
-- Why: Python lets go of its interpreter lock for each step of each statement, and must win it back from busy threads.
-- A verb of many statements does so many times, with the database locked; one in a single step does so once,
-- afterwards. `enqueue` and `exchange` are whole verbs for a call on one queue when nothing is out of the ordinary. If
-- something is, they abort, which undoes them, and the call is made again in Python, as a transaction of several
-- statements; these use the same smaller scripts, which the two are made of.
--
-- All of it is temporary: each connection makes it for itself, and none of it is in the file. Input (inputs.sql) is
-- filled in just before. A script is used by its view's columns, by name. Moments and spans are milliseconds. Words in
-- capitals are numbers that verbs.py puts in.

-- Add the jobs of `arriving` to a queue that knows none of them; a known one is a constraint's error. Empties it.
-- `last` is the last seq of all jobs. (To ask here would be slow: an INSERT that reads its own table keeps its rows
-- aside.)
create temp view accept(queue, now, last) as values(0, 0, 0);
create temp trigger do_accept instead of insert on accept begin
    -- The queue's row is left as it is: one page less to write.
    insert into jobs(seq, queue, id, state, rank, turn, enqueued, due, expires, body)
        select new.last + a.position + 1, q.id, a.id, iif(a.due is null, 'ready', 'delayed'), a.rank,
            max(q.turn + 1, (new.last + a.position + 1) << 30), new.now, a.due, a.expires,
            iif(length(a.body) <= SMALL_BODY, a.body, null)
        from queues q cross join arriving a where q.id = new.queue and a.id is not null;
    insert into bodies(seq, body)
        select new.last + position + 1, body from arriving where length(body) > SMALL_BODY;
    delete from arriving;
end;

-- Find the deliveries that hold their job: it is running, under just this number. Of equal ones, the first.
create temp view match(queue) as values(0);
create temp trigger do_match instead of insert on match begin
    delete from held;
    insert or ignore into held(
            seq, position, stop, keep, took, result, state, reason, counts, crashed, error, again, delay
        )
        select j.seq, d.position, j.stop, d.keep, d.took, d.result, iif(d.again, 'cancelled', d.state),
            iif(d.again, 'requested', d.reason), d.counts, d.crashed, d.error, d.again, d.delay
        from deliveries d cross join jobs j on j.queue = new.queue and j.id = d.id
        where j.state = 'running' and j.number = d.number;
end;

-- Keep the errors of `held`, count its crashes, and give back what runs again.
create temp view rerun(queue, now) as values(0, 0);
create temp trigger do_rerun instead of insert on rerun begin
    -- An error joins those before it, or takes their place when they become too many.
    delete from errors where seq in (
            select h.seq from held h where h.error is not null and length(h.error)
                + (select total(length(e.error)) from errors e where e.seq = h.seq) > ERRORS_BYTES
        );
    insert into errors(seq, error) select seq, error from held where error is not null order by position;
    update jobs set crashes = crashes + 1 where seq in (select seq from held where crashed);
    update jobs set
            (state, turn, since, due, retrying, attempts) = (
                select iif(r.delay > 0, 'delayed', 'ready'),
                    iif(r.delay = 0, (select last from turns where queue = new.queue) + r.position + 1, jobs.turn),
                    iif(r.delay = 0, new.now, jobs.since),
                    iif(r.delay > 0, new.now + r.delay, null), iif(r.delay > 0, r.counts, 0), jobs.attempts + r.counts
                from returned r where r.seq = jobs.seq
            ),
            lease = null, started = null, worker = null, ahead = iif(ahead = 2, 2, 0)
        where seq in (select seq from returned);
    update queues set turn = (select last from turns where queue = new.queue) + (select max(position) + 1 from returned)
        where id = new.queue and exists (select 1 from returned);
end;

-- Settle those of the deliveries that hold their job.
create temp view settle(queue, now, most_finished, most_results, most_result_bytes, most_dead)
    as values(0, 0, 0, 0, 0, 0);
create temp trigger do_settle instead of insert on settle begin
    insert into match values(new.queue);
    insert into rerun
        select new.queue, new.now where exists (select 1 from held where again or error is not null or crashed);
    insert into finish
        values(new.queue, new.now, new.most_finished, new.most_results, new.most_result_bytes, new.most_dead);
end;

-- Leave out those of `claimed` whose bodies do not fit into `bytes`, one behind the other; `first`: the first always does.
create temp view leave(bytes, first) as values(0, 0);
create temp trigger do_leave instead of insert on leave begin
    delete from claimed where n in (
            select n from (select n, sum(size) over (order by n) as reach from claimed)
            where reach > new.bytes and (n > 1 or not new.first)
        );
end;

-- Take the best `want` ready jobs, the first `slots` of them into free slots and the others ahead. It ends before the
-- first whose body does not fit into `bytes`, unless it is the first of all and `first` is 1; and beyond the slots,
-- before a job that crashed or was lost ahead.
create temp view claim(queue, now, lease, worker, slots, want, bytes, first) as values(0, 0, 0, '', 0, 0, 0, 0);
create temp trigger do_claim instead of insert on claim begin
    delete from claimed;
    insert into claimed(seq, id, attempts, crashes, rank, enqueued, ahead, size, body)
        select seq, id, attempts, crashes, rank, enqueued, ahead,
            coalesce(length(body), (select length(b.body) from bodies b where b.seq = jobs.seq)), body
        from jobs where queue = new.queue and state = 'ready' order by rank, turn limit new.want;
    delete from claimed where new.want > new.slots
        and n >= (select min(n) from claimed where n > new.slots and (crashes > 0 or ahead = 2));
    insert into leave select new.bytes, new.first where (select sum(size) from claimed) > new.bytes;
    -- Not only counted: a file that lost its last commits goes on higher.
    update queues set number = max(number + 1, new.now) where id = new.queue and exists (select 1 from claimed);
    update jobs set state = 'running', number = (select number from queues where id = new.queue),
            lease = new.now + new.lease, started = new.now, worker = new.worker, expires = null,
            ahead = iif(ahead = 2, 2, seq in (select seq from claimed where n > new.slots))
        where seq in (select seq from claimed);
end;

-- Abort unless the call may be made at once: the queue is there, its clock did not jump, and the sender's number is
-- new.
create temp view usual(prefix, name, now, sender, number) as values('', '', 0, '', 0);
create temp trigger do_usual instead of insert on usual begin
    select raise(abort, 'unusual') where not exists (
            select 1 from queues q where q.prefix = new.prefix and q.name = new.name
                and new.now between q.seen and q.seen + CLOCK_JUMP and not exists (
                    select 1 from senders s where s.queue = q.id and s.sender = new.sender
                        and s.number >= new.number and s.used > new.now - SENDER_AGE
                )
        );
    update queues set seen = new.now
        where prefix = new.prefix and name = new.name and new.now - seen >= SEEN_EVERY;
end;

-- A whole enqueue of the jobs of `arriving` into one queue.
create temp view enqueue(prefix, name, now, sender, number) as values('', '', 0, '', 0);
create temp trigger do_enqueue instead of insert on enqueue begin
    insert into usual values(new.prefix, new.name, new.now, new.sender, new.number);
    insert into accept
        select id, new.now, (select coalesce(max(seq), 0) from jobs)
        from queues where prefix = new.prefix and name = new.name;
    insert or replace into senders(queue, sender, number, used, answer)
        select id, new.sender, new.number, new.now, '[]' from queues where prefix = new.prefix and name = new.name;
end;

-- A whole exchange with one queue: settle the deliveries and empty them, then claim. `room` is how many jobs the worker
-- could take, `want` how many of them one call may bring. `demanded` is 0 if it only settles; `starving` is 1 if
-- there is neither a free slot nor anything that may be claimed ahead.
create temp view exchange(
        prefix, name, now, sender, number, lease, demanded, starving, slots, room, want, bytes, first,
        most_finished, most_results, most_result_bytes, most_dead
    ) as values('', '', 0, '', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
create temp trigger do_exchange instead of insert on exchange begin
    insert into usual values(new.prefix, new.name, new.now, new.sender, new.number);
    -- Time has work here.
    select raise(abort, 'unusual') from queues q
        where q.prefix = new.prefix and q.name = new.name and new.demanded and (
            exists (select 1 from jobs where queue = q.id and expires is not null and expires <= new.now)
            or exists (select 1 from jobs where queue = q.id and state = 'delayed' and due <= new.now)
            or exists (select 1 from jobs where queue = q.id and state = 'running' and lease <= new.now)
                and q.hold <= new.now
            or new.now not between q.swept and q.swept + SWEEP_EVERY - 1
        );
    delete from told;
    delete from held;
    insert into settle
        select id, new.now, new.most_finished, new.most_results, new.most_result_bytes, new.most_dead
        from queues where prefix = new.prefix and name = new.name and exists (select 1 from deliveries);
    delete from claimed;
    insert into claim
        select id, new.now, new.lease, new.sender, new.slots, new.want, new.bytes, new.first
        from queues where prefix = new.prefix and name = new.name and new.want > 0;
    delete from said;
    insert into said(now, refused, number, ids, more, starved, due, lapse, rings)
        select
            new.now,
            iif((select count(*) from held) = (select count(id) from deliveries), '[]', (
                select json_group_array(position) from deliveries
                where id is not null and position not in (select position from held)
            )),
            q.number, (select json_group_array(id) from (select id from claimed order by n)),
            c.jobs < new.room and s.wary is not null and (not s.wary or c.jobs < new.slots),
            new.starving and s.wary is not null, s.due, s.lapse,
            (s.wary is not null or s.due is not null) and (
                (new.want > 0 and c.jobs = new.want)
                or exists (select 1 from returned where delay is null or delay = 0 or new.now + delay <= s.due)
            )
        from queues q cross join standing s on s.queue = q.id cross join (select count(*) as jobs from claimed) c
        where q.prefix = new.prefix and q.name = new.name;
    insert or replace into senders(queue, sender, number, used, answer)
        select q.id, new.sender, new.number, new.now,
            '[' || s.refused || ',' || s.number || ',' || s.ids || ',' || iif(s.more, 'true', 'false') || ']'
        from queues q cross join said s where q.prefix = new.prefix and q.name = new.name;
    delete from deliveries;
end;
