"""Mail for users of this machine, from the envelope to the process that has the user's rights.

mda.py      the part: envelopes in, results out, log lines
user.py     one recipient user: the envelopes that wait, the limits, the hold queue
agents.py   links to delivery agents, which write maildirs
command.py  one run of an mda command
"""
