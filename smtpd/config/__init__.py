"""The configuration language: smtpd.conf(5) as OpenSMTPD 7.8 reads it, made into one frozen Config.

In reading order: `model` (the values), `lexer` (text to words), `grammar` and the files of its statements
(words to a draft), `checks` (what the whole must fulfil), `parse` (`parse_file`, `parse_text`), `errors`
(what a user is told), `dump` (a Config as text again), `wire` and `slices` (a Config on its way to a child
process). The children need `model` and `wire` only; the rest is the parent's, smtpctl's and the tests'.
"""
