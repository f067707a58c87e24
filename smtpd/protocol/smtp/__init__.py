"""SMTP and LMTP as sans-IO cores: the receiving side (server.py) and the sending one (client.py).

Reading order of the receiving side: session_state (what may come when), grammar (a command's text), reply
(what is answered), received (the trace header), data (the content), session_io (questions and answers),
server (all together).
"""
