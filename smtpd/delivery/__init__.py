"""The delivery agent: puts mail into the files of one user, or hands it to an LMTP server as that user.

| runs as | root directory | peers | never sees |
|---|---|---|---|
| agent: the user who gets the mail | / | pony, an LMTP server | other users' mail, the configuration |
| for mbox: the same, with the group of /var/mail for its lock files | /var/mail | pony | the network |
| starter: root | / | parent | mail |
| wrapped: the user who gets the mail | / | none; an LMTP server | other users' mail, the configuration |

parent starts the starter (`python -m smtpd.delivery`) by fork and exec when the first agent is wanted, and
ends it when the last one is gone.  The starter loads everything an agent needs, because the interpreter may
lie where users cannot enter, and then only forks: a forked agent costs a thirtieth of a fresh interpreter,
and shares its memory. It has one thread and no event loop, so forking it is safe.  An agent gives up all
rights before it reads a frame.

What a wrapper is put around (wrapped.py) is started by the user's own shell, with an interpreter of its own.
Where that user cannot run it or read what it loads, mail waits, and the envelope says so.
"""
