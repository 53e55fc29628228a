-- The floor's tables: an index table per state beside the bodies, each as narrow as it can be.
create table if not exists jobs(
    seq integer primary key, id text not null unique, queue int not null, rank int not null, body blob
);
create table if not exists ready(
    queue int, rank int, seq int, number int not null, primary key(queue, rank, seq)
) without rowid;
create table if not exists running(seq integer primary key, number int not null, lease int not null);
create index if not exists lease on running(lease);
create table if not exists delayed(due int, seq int, number int not null, primary key(due, seq)) without rowid;
create table if not exists finished(n integer primary key, id text not null unique, queue int not null, at int not null);
create table if not exists results(id text primary key, value blob, expires int) without rowid;
