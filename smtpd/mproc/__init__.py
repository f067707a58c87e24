"""Process plumbing: how the processes start, give up their rights, and talk. No word of mail in it.

In reading order: spawn (parent's side), child (a child's life), privileges, process (what every process is),
peer and dispatch (messages in and out), log, stat, trace, crash.
"""
