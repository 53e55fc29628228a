-- What level 2 adds: the register of workers, and since when a job has been ready.

-- When a job took its place among the ready ones, if not when it was enqueued: it fell due, or was put last again.
alter table jobs add column since integer;

-- The living workers of each app.
create table cards(
    n integer primary key,
    prefix text not null,
    name text not null,
    ends integer not null,                      -- when it ages out
    card blob not null,
    unique(prefix, name)
);
create index cards_by_end on cards(prefix, ends);

-- What is wished of them.
create table wishes(
    n integer primary key,
    prefix text not null,
    target text not null,
    about text not null,
    at integer not null,                        -- when it was made
    ends integer not null,
    wish blob not null,
    unique(prefix, target, about)
);
create index wishes_by_end on wishes(prefix, ends);
