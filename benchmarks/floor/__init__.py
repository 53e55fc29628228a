"""The floor: the least that a queue with these guarantees must do per job, with nothing else around it.

It keeps leases, fencing numbers, idempotent enqueue, priorities, results and a bounded list of finished jobs, on both
engines, in the fastest layout that was found. It leaves out everything a user needs besides: errors, retries, timeouts,
lease extension, cancelling, signals, reconnecting, senders' numbers, several queues. What taskforge is slower than
this is the price of those, and of its layers.
"""
