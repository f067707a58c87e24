"""pony: speaks with the network and with deliveries.

user        _smtpd (or the caller)
chroot      an empty folder
peers       parent, control, lookup, queue
does        SMTP in (smtp_*), SMTP out (mta/), handing mail to users' processes (mda/)
never sees  users' passwords, the spool's files but by descriptor
"""
