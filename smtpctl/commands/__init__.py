"""What each command does: one file a topic; table.py is the list of all.

A command is a function of the invocation, the parameters and the options that were given; it returns the exit
status.
"""
