"""The commands that look inside a running daemon, for the table of all."""

from ..matching import Command
from .later import Topic

capture = Topic("capture")
crash = Topic("crash")
flow = Topic("flow")
profile = Topic("profile")
recorder = Topic("recorder")
watch = Topic("watch")

COMMANDS = (
    Command(
        "trace <str>",
        watch("trace"),
        "log what a subsystem does; its name or all; or watch imsg",
        watch.options,
    ),
    Command("capture", capture("capture"), "the messages as pcapng to a pipe", capture.options, own=True),
    Command("capture -w <str>", capture("capture"), "the same, into a file", capture.options, own=True),
    Command("show crash", crash("show_crash"), "how a process died, the last time", crash.options, own=True),
    Command("show crash <str>", crash("show_crash"), "the same out of this file", crash.options, own=True),
    Command("show flow <str>", flow("show_flow"), "the way of a mail, or all", flow.options, own=True),
    Command("profile <str>", profile("profile"), "measure imsg, mproc, queue or all from now on"),
    Command("unprofile <str>", profile("unprofile"), "end that; what was measured stays"),
    Command("show profile", profile("show_profile"), "what was measured", profile.options, own=True),
    Command("show recorder", recorder("show_recorder"), "the last messages", recorder.options, own=True),
    Command(
        "show recorder <str>", recorder("show_recorder"), "those of a process", recorder.options, own=True
    ),
)
