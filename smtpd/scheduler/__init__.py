"""scheduler: decides which envelope is tried when.

Privilege card
  user       _smtpd, chroot in an empty folder; its own user and folder are not needed: it opens nothing
  peers      parent, control, queue
  promises   holds nothing but ids, types and times of envelopes; every change comes from queue (what became
             of an envelope) or control (what the administrator wants); nothing is written to disk, for the
             spool is the truth and queue can fill a new scheduler from it
  never sees mail, addresses and their owners, the network, the spool
"""
