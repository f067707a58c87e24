"""The catalogue of messages: every kind that passes between processes, declared once.

links.py says who may talk to whom; each other file holds the kinds of one pair of talkers. A new kind is
declared in the file of its pair and nowhere else; its handler carries its name in snake_case. No mail logic
here, and no I/O.
"""
