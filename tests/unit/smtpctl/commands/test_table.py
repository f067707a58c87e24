"""smtpctl/commands/table.py against the manual of OpenSMTPD."""

from smtpctl.commands.table import COMMANDS, TABLE

MANUAL = """\
discover <evpid>
discover <msgid>
encrypt
encrypt <str>
log brief
log verbose
monitor
pause envelope <evpid>
pause envelope <msgid>
pause envelope all
pause mda
pause mta
pause mta from <addr> for <str>
pause smtp
profile <str>
remove <evpid>
remove <msgid>
remove all
resume envelope <evpid>
resume envelope <msgid>
resume envelope all
resume mda
resume mta
resume mta from <addr> for <str>
resume route <routeid>
resume smtp
schedule <evpid>
schedule <msgid>
schedule all
show envelope <evpid>
show hosts
show hoststats
show message <evpid>
show message <msgid>
show mta paused
show queue
show queue <msgid>
show relays
show routes
show stats
show status
spf walk
trace <str>
uncorrupt <msgid>
unprofile <str>
untrace <str>
update table <str>
"""


def test_the_commands_of_the_manual_that_are_there() -> None:
    assert {command.pattern for command in COMMANDS if not command.own} == set(MANUAL.splitlines())


def test_every_command_has_help_in_one_line() -> None:
    for command in COMMANDS:
        assert command.help
        assert "\n" not in command.help
        assert len(command.help) <= 110
    assert TABLE.commands == COMMANDS
