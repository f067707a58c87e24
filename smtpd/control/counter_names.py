"""The names of all counters, so that `show stats` has each from the start and nobody waits for one to appear.

They are OpenSMTPD's where it counts the same (stat_increment in its sources), but for those of TLS for
clients, which stay away as long as no listener speaks it, and those of a queue in memory, which cannot be
chosen here. What counts them is in the processes.
"""

OPENSMTPDS = """
bounce.envelope bounce.message bounce.session control.session
mda.envelope mda.pending mda.running mda.user
mta.connector mta.domain mta.envelope mta.host mta.relay mta.route mta.session mta.source mta.task
mta.task.running
queue.bounce queue.evpcache.load.hit queue.evpcache.load.missed queue.evpcache.size
queue.evpcache.update.hit queue.evpcache.update.missed
scheduler.delivery.loop scheduler.delivery.ok scheduler.delivery.permfail scheduler.delivery.tempfail
scheduler.envelope scheduler.envelope.expired scheduler.envelope.incoming scheduler.envelope.inflight
scheduler.envelope.removed scheduler.envelope.updated
scheduler.ramqueue.envelope scheduler.ramqueue.hold scheduler.ramqueue.hold-overflow scheduler.ramqueue.holdq
scheduler.ramqueue.message scheduler.ramqueue.update
smtp.session smtp.session.inet4 smtp.session.inet6 smtp.session.local
""".split()

OWN = ["smtp.turned-away"]
"""Clients for whom there was no place."""
