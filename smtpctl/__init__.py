"""smtpctl(8): controls a running smtpd, and looks into its spool. Also mailq, sendmail, newaliases, makemap.

In reading order: matching (words to a command), commands/ (what each does), client (the control socket),
places (where socket and spool are), offline (the spool without a daemon), output (text and JSON).
"""
