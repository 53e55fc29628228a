-- How jobs end and how records go: scripts for those of verbs.sql.

-- Tell who waits for this job's end, and strike them off.
create temp view tell(seq) as values(0);
create temp trigger do_tell instead of insert on tell begin
    insert into told select w.channel, j.id from waiters w cross join jobs j on j.seq = w.seq where w.seq = new.seq;
    delete from waiters where seq = new.seq;
end;

-- What only few jobs have goes with those of `gone`.
create temp view forget_rest(x) as values(0);
create temp trigger do_forget_rest instead of insert on forget_rest begin
    delete from bodies where seq in (select seq from gone);
    delete from results where seq in (select seq from gone);
    delete from errors where seq in (select seq from gone);
    delete from progress where seq in (select seq from gone);
end;

-- Remove the records of `gone` and empty it. Who waits for one of them is told.
create temp view forget(queue) as values(0);
create temp trigger do_forget instead of insert on forget begin
    update queues set (finished, results, dead, cancelled, result_bytes) = (
            select finished - total(shelf = 'finished'), results - total(shelf = 'results'),
                dead - total(shelf = 'dead'), cancelled - total(shelf = 'cancelled'),
                queues.result_bytes - total(gone.result_bytes)
            from gone
        ) where id = new.queue and exists (select 1 from gone);
    insert into tell select seq from (select 1 from waiters limit 1) cross join gone;
    delete from jobs where seq in (select seq from gone);
    insert into forget_rest select 1 where exists (select 1 from bodies) or exists (select 1 from results)
        or exists (select 1 from errors) or exists (select 1 from progress);
    delete from gone;
end;

-- End the jobs of `ending`. Every way a job ends comes through here.
create temp view finish(queue, now, most_finished, most_results, most_result_bytes, most_dead)
    as values(0, 0, 0, 0, 0, 0);
create temp trigger do_finish instead of insert on finish begin
    update jobs set
            (state, shelf, reason, kept_until, took, attempts, result_bytes) = (
                select e.state, iif(e.state != 'succeeded', e.state, iif(e.result is null, 'finished', 'results')),
                    e.reason, new.now + e.keep, e.took, jobs.attempts + e.counts, length(e.result)
                from ending e where e.seq = jobs.seq
            ),
            ended = new.now, retrying = 0, due = null, lease = null, worker = null, expires = null, stop = null
        where seq in (select seq from ending);
    insert into results(seq, value) select seq, result from ending where result is not null;
    delete from progress where seq in (select seq from (select 1 from progress limit 1) cross join ending);
    insert into tell select seq from (select 1 from waiters limit 1) cross join ending;
    update queues set (finished, results, dead, cancelled, result_bytes) = (
            select finished + total(state = 'succeeded' and result is null), results + count(result),
                dead + total(state = 'dead'), cancelled + total(state = 'cancelled'),
                result_bytes + total(length(result))
            from ending
        ) where id = new.queue;
    insert into trim
        select id, new.most_finished, new.most_results, new.most_result_bytes, new.most_dead from queues
        where id = new.queue and (finished > new.most_finished or results > new.most_results or dead > new.most_dead
            or cancelled > new.most_finished or result_bytes > new.most_result_bytes);
end;

-- Remove the soonest to expire of each shelf that is over its bound, at most TRIM each: more than a call can add.
create temp view trim(queue, most_finished, most_results, most_result_bytes, most_dead) as values(0, 0, 0, 0, 0);
create temp trigger do_trim instead of insert on trim begin
    insert into gone(seq, shelf, result_bytes)
        select * from (
            select seq, shelf, null from jobs where queue = new.queue and shelf = 'finished' order by kept_until
            limit (select max(0, min(TRIM, finished - new.most_finished)) from queues where id = new.queue)
        ) union all select * from (
            select seq, shelf, result_bytes from jobs where queue = new.queue and shelf = 'results' order by kept_until
            limit (select max(0, min(TRIM, results - new.most_results)) from queues where id = new.queue)
        ) union all select * from (
            select seq, shelf, null from jobs where queue = new.queue and shelf = 'dead' order by kept_until
            limit (select max(0, min(TRIM, dead - new.most_dead)) from queues where id = new.queue)
        ) union all select * from (
            select seq, shelf, null from jobs where queue = new.queue and shelf = 'cancelled' order by kept_until
            limit (select max(0, min(TRIM, cancelled - new.most_finished)) from queues where id = new.queue)
        );
    insert into forget select new.queue where exists (select 1 from gone);
    insert into gone(seq, shelf, result_bytes)
        select seq, 'results', size from (
            select seq, size, sum(size) over (order by kept_until, seq) - size as before from (
                select seq, kept_until, result_bytes as size from jobs where queue = new.queue and shelf = 'results'
                order by kept_until
                limit (select iif(result_bytes > new.most_result_bytes, TRIM, 0) from queues where id = new.queue)
            )
        ) where before < (select result_bytes - new.most_result_bytes from queues where id = new.queue);
    insert into forget select new.queue where exists (select 1 from gone);
end;
