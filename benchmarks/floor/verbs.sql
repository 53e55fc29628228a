-- One statement per verb: an insert into a temporary view, whose trigger does the whole verb in one step.
-- `sqlite3` lets go of the GIL at every step of every statement and must win it back from busy threads; between the
-- statements of a transaction it would do so with the write lock held.
create temp table settled(seq integer primary key);
create temp table claimed(n integer primary key, rank int, seq int, number int);

-- ids: 22 bytes each, as a blob, because substr() of a text walks its characters. sizes: a JSON list of
-- rank << 44 | offset << 20 | length, one per job, into data.
create temp view enqueue as select 0 queue, x'' ids, '' sizes, x'' data;
create temp trigger t_enqueue instead of insert on enqueue begin
    insert or ignore into jobs(id, queue, rank, body)
        select cast(substr(new.ids, 22 * key + 1, 22) as text), new.queue, value >> 44,
               substr(new.data, (value >> 20 & 16777215) + 1, value & 1048575)
        from json_each(new.sizes)
        where not exists (select 1 from finished where id = cast(substr(new.ids, 22 * key + 1, 22) as text));
end;
create temp trigger t_jobs after insert on jobs begin
    insert into ready values(new.queue, new.rank, new.seq, 0);
end;

-- settle: a JSON list of seq << 12 | number.
create temp view exchange as select 0 queue, '' settle, 0 want, 0 now, 0 lease, 0 keep;
create temp trigger t_exchange instead of insert on exchange begin
    delete from settled;
    delete from claimed;
    insert into settled
        select r.seq from json_each(new.settle) e cross join running r on r.seq = e.value >> 12
        where r.number = e.value & 4095;
    insert into finished(id, queue, at)
        select j.id, j.queue, new.now from settled s cross join jobs j on j.seq = s.seq;
    delete from jobs where seq in (select seq from settled);
    delete from running where seq in (select seq from settled);
    delete from finished where n <= (select max(n) from finished) - new.keep;
    insert into ready select j.queue, j.rank, j.seq, r.number from running r join jobs j using(seq) where r.lease <= new.now;
    delete from running where lease <= new.now;
    insert into ready select j.queue, j.rank, j.seq, d.number from delayed d join jobs j using(seq) where d.due <= new.now;
    delete from delayed where due <= new.now;
    insert into claimed(rank, seq, number)
        select rank, seq, number + 1 from ready where queue = new.queue order by rank, seq limit new.want;
    insert into running select seq, number, new.lease from claimed order by seq;
    delete from ready where queue = new.queue and (rank, seq) in (select rank, seq from claimed);
end;
