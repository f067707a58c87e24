"""parent: reads the configuration, starts the other processes, lends them what only root can have.

user        root (or the caller)
chroot      none
peers       control, lookup, pony, queue, scheduler
does        parse smtpd.conf, bind ports, follow interfaces, watch children, open .forwards, start deliveries
never sees  network data, the content of mail
"""
