"""Mail to other hosts, from the envelope to the other host's reply.

mta.py         the part: envelopes in, results out, log lines, the clock for all sessions
relay.py       envelopes that go the same way: tasks, connections, when to give up
routing.py     domains, hosts, sources, routes: what is known of the way, and which to try next
connect.py     connectors: when another connection may be made, from one source address
session.py     one session: commands and replies around the SMTP client core, TLS or not
connection.py  the connection it is held on, in the clear or under TLS (../tls_transport.py)
contexts.py    what TLS is to be: versions, ciphers, certificates
job.py         the task under way and the one after it, with their content
content.py     a message's content, read from its descriptor
task.py        the envelopes of one message for one relay

Terms and rules are those of OpenSMTPD's mta.c: a *relay* is a destination with all its options; a
*connector* is a relay seen from one *source* address; a *route* joins a source and a *host*.
"""
