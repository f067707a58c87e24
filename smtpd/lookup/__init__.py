"""lookup: tables, names, rules; turns a recipient into envelopes.

user        _smtpd (or the caller)
chroot      none: tables and their files are where the configuration says
peers       parent, control, pony, queue
does        DNS, table look-ups, match rules, alias and .forward expansion
never sees  the spool, the content of mail
"""
