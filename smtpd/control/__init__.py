"""control: where smtpctl gets in.

Privilege card
  user       _smtpd, chroot in an empty folder
  peers      parent, lookup, pony, queue, scheduler, and any local user's smtpctl
  promises   whoever connects is known by the credentials the kernel gives (SO_PEERCRED); a client without
             rights is told so and nothing else is done; a client that breaks the rules of the socket is
             dropped and nobody else notices; every action of the administrator is logged with the uid that
             asked
  never sees the content of mail, the network, the spool, passwords
"""
