"""show config, update table.

`show config` shows the configuration in force as smtpd.conf(5), normalized, secrets masked. To a file or a
pipe it goes byte for byte, so that it can be read by smtpd again. JSON: {"statement": TEXT} a line, a
statement each. Of `update table`: {"done": true, "number": 1}.
"""

from collections.abc import Mapping, Sequence

from smtpd.messages.client_configuration import ClientShowConfiguration, ClientUpdateTable

from ..invocation import Invocation
from ..matching import Parameter


def show_config(invocation: Invocation, _parameters: Sequence[Parameter], _options: Mapping[str, str]) -> int:
    """show config."""
    output = invocation.output
    begun = ""
    for row in invocation.client.rows(ClientShowConfiguration()):
        if not (output.as_json or output.width):
            output.raw((row.text.encode("utf-8", "surrogateescape"),))
            continue
        *whole, begun = (begun + row.text).split("\n")
        for line in whole:
            output.row(line, {"statement": line})
    if begun:
        output.row(begun, {"statement": begun})
    return 0


def update_table(invocation: Invocation, parameters: Sequence[Parameter], _options: Mapping[str, str]) -> int:
    """update table NAME."""
    return invocation.output.done(
        "command succeeded", invocation.client.ask(ClientUpdateTable(parameters[0].value))
    )
