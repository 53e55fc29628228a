"""What RESULTS.md says around its tables."""

HEAD = """
# Results

Generated on {date} by `python -m benchmarks`, in {minutes} minutes. Do not edit: run `make bench` again.

## Method

Every figure is measured several times. In each round every contestant of a case runs once, in a fresh process, against
an emptied server or a new file, and each round begins with another contestant. A ratio is taken within a round, so a
noisy minute hurts both sides; what is shown is the median of the rounds with the smallest and the largest. Every run is
checked: each job ran exactly once, and nothing was left in any state but succeeded. Redis is a private server on
loopback without persistence, unless a case says otherwise; SQLite files lie on a disk. Nothing is pinned to a core.

The *floor* is the least that a queue with these guarantees must do per job, written without a framework
([floor/](floor/)): a ratio to it says what taskforge's features and layers cost.
How to measure again, and what each case does: [README.md](README.md).
"""

TAIL = """
## What these figures do not show

* **Your jobs.** A no-op measures the queue and nothing else. When a job takes 10 ms, every queue here is fast enough.
* **Many machines.** Client, worker and Redis share the cores of one machine, so they take time from each other. Two
  cores are fewer than three busy processes.
* **Parallel Python.** Eight threads under one GIL run one at a time; this measures how jobs are handed to them.
* **Guarantees.** Peers differ in what they promise. Celery acknowledges before it runs, Taskiq on a list not at all,
  and a job of theirs that is lost in a crash costs nothing in these tables. The floor leaves out errors, retries,
  timeouts, lease extension, cancelling, signals and reconnecting.
* **The best a peer can do.** Their settings are those that their documentation gives for many small jobs. Somebody who
  knows one well may find better ones.
* **Faults.** Nothing here was killed, cut off or short of memory; that is what the tests are for.
* **Long runs.** A run lasts seconds. Fragmentation of memory, growth of files and rewriting of append-only files show
  up later.
* **Absolute rates.** They belong to this machine on that day. Enqueuing one by one, and latency, depend on how
  the kernel wakes an idle core, and now and then a whole run has client and server on one core and is three times as
  fast. Compare ratios, and distrust those under 5 %.
"""
