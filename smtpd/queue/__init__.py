"""queue: keeps messages and envelopes until they are delivered.

Privilege card
  user       _smtpq, chroot in the spool peers      parent, control, lookup, pony, scheduler promises   a
  commit is answered when it is on disk; the disk changes first, then scheduler hears of it; an envelope
             leaves the spool only when it was delivered, bounced (the bounce being on disk), removed by the
             administrator or set aside as unusable; pony gets files as descriptors, never a name
  never sees the network, users and their files, tables, passwords, keys
"""
