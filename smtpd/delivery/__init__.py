"""The delivery agent: puts mail into the files of one user.

| runs as | root directory | peers | never sees |
|---|---|---|---|
| agent: the user who gets the mail | / | pony | other users' mail, the network, the configuration |
| starter: root | / | parent | mail |

parent starts the starter (`python -m smtpd.delivery`) by fork and exec when the first agent is wanted, and
ends it when the last one is gone.  The starter loads everything an agent needs, because the interpreter may
lie where users cannot enter, and then only forks: a forked agent costs a thirtieth of a fresh interpreter,
and shares its memory. It has one thread and no event loop, so forking it is safe.  An agent gives up all
rights before it reads a frame.
"""
