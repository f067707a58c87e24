"""All commands of smtpctl, in the order of the manual, with their help. What they do is loaded when run."""

from ..matching import Command, Table
from . import inside
from .later import Function, Topic

again = Topic("again")
checking = Topic("checking")
configuration = Topic("configuration")
encrypt = Topic("encrypt")
envelopes = Topic("envelopes")
explain = Topic("explain")
guidance = Topic("guidance")
queue = Topic("queue")
relaying = Topic("relaying")
spf = Topic("spf")
spool = Topic("spool")
stats = Topic("stats")
switches = Topic("switches")

_EXPLAIN = "why an envelope waits (ENVELOPE-ID), or what would become of a recipient: RCPT [from ADDRESS] ..."
_ID = "the envelope"
_MSG = "all envelopes of the message"

COMMANDS = (
    Command("check queue", checking("check_queue"), "look for what cannot be used in the spool", own=True),
    Command(
        "discover <evpid>", envelopes("discover"), "schedule an envelope that was moved to the queue by hand"
    ),
    Command("discover <msgid>", envelopes("discover"), "the same for all envelopes of a message"),
    Command("encrypt", encrypt("encrypt"), "passwords from standard input, for a table", encrypt.options),
    Command("encrypt <str>", encrypt("encrypt"), "a password, for a table of credentials", encrypt.options),
    Command("explain <words>", explain("explain"), _EXPLAIN, own=True),
    Command("log brief", switches("log_brief"), "log no details"),
    Command("log verbose", switches("log_verbose"), "log details"),
    Command("monitor", stats("monitor"), "a line of counters every second"),
    Command("pause envelope <evpid>", envelopes("pause_envelope"), f"do not schedule {_ID} for now"),
    Command("pause envelope <msgid>", envelopes("pause_envelope"), f"do not schedule {_MSG} for now"),
    Command("pause envelope all", envelopes("pause_envelope"), "do not schedule any envelope for now"),
    Command("pause mda", switches("pause_mda"), "start no deliveries to local users"),
    Command("pause mta", switches("pause_mta"), "start no transfers to other hosts"),
    Command(
        "pause mta from <addr> for <str>",
        relaying("pause_source"),
        "make no connections from an address for a domain",
    ),
    Command("pause smtp", switches("pause_smtp"), "accept no new sessions"),
    Command("remove <evpid>", envelopes("remove"), f"remove {_ID}, without a bounce"),
    Command("remove <msgid>", envelopes("remove"), f"remove {_MSG}, without bounces"),
    Command("remove all", envelopes("remove"), "remove all envelopes, without bounces"),
    Command("resume envelope <evpid>", envelopes("resume_envelope"), f"schedule {_ID} again"),
    Command("resume envelope <msgid>", envelopes("resume_envelope"), f"schedule {_MSG} again"),
    Command("resume envelope all", envelopes("resume_envelope"), "schedule all envelopes again"),
    Command("resume mda", switches("resume_mda"), "start deliveries to local users again"),
    Command("resume mta", switches("resume_mta"), "start transfers to other hosts again"),
    Command("resume mta from <addr> for <str>", relaying("resume_source"), "make them again"),
    Command("resume route <routeid>", relaying("resume_route"), "use a disabled route again, now"),
    Command("resume smtp", switches("resume_smtp"), "accept sessions again"),
    Command("schedule <evpid>", envelopes("schedule"), f"try {_ID} now"),
    Command("schedule <msgid>", envelopes("schedule"), f"try {_MSG} now"),
    Command("schedule all", envelopes("schedule"), "try all envelopes now"),
    Command("show config", configuration("show_config"), "the configuration in force, normalized", own=True),
    Command("show envelope <evpid>", spool("show_envelope"), "the envelope as it is in the spool"),
    Command("show hosts", relaying("show_hosts"), "the hosts that mail is sent to", again.options),
    Command(
        "show hoststats",
        relaying("show_hoststats"),
        "how the last delivery to each domain ended",
        again.options,
    ),
    Command("show message <evpid>", spool("show_message"), "the content of the envelope's message"),
    Command("show message <msgid>", spool("show_message"), "the content of the message"),
    Command(
        "show mta paused", relaying("show_mta_paused"), "addresses that make no connections", again.options
    ),
    Command("show queue", queue("show_queue"), "all envelopes, a line each", queue.options),
    Command("show queue <msgid>", queue("show_queue"), "the envelopes of the message", queue.options),
    Command(
        "show relays", relaying("show_relays"), "what mail waits to be relayed, and by what", again.options
    ),
    Command(
        "show routes", relaying("show_routes"), "the ways to hosts, and which are disabled", again.options
    ),
    Command("show stats", stats("show_stats"), "all counters", again.options),
    Command("show status", switches("show_status"), "what is running and what is paused", again.options),
    *inside.COMMANDS,
    Command(
        "spf walk", spf("spf_walk"), "the networks of the domains on standard input, by SPF", spf.options
    ),
    Command("uncorrupt <msgid>", envelopes("uncorrupt"), "back from corrupt/ to the queue, and schedule it"),
    Command("untrace <str>", switches("untrace"), "end that"),
    Command(
        "update table <str>", configuration("update_table"), "read a table again; a bad one stays as it was"
    ),
    Command("help", guidance("explain_commands"), "this list", own=True),
    Command(
        "help <words>", guidance("explain_commands"), "what begins with these words, with options", own=True
    ),
    Command("completion <str>", guidance("completion"), "completion for the shell: bash or zsh", own=True),
    Command("complete", guidance("complete"), "used by the shell's completion", own=True, hidden=True),
    Command(
        "complete <words>", guidance("complete"), "used by the shell's completion", own=True, hidden=True
    ),
)

TABLE = Table(COMMANDS)


def load() -> None:
    """Load all commands now: later there may be nothing to import from."""
    for command in COMMANDS:
        len(command.options)
        if isinstance(command.run, Function):
            command.run.find()
