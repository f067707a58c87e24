"""help, completion: what smtpctl can do, for its user and for the user's shell.

JSON of `help`: an object a command with "command", "help" and "options" (a list of {"option", "help"}).
"""

import textwrap
from collections.abc import Mapping, Sequence

from ..invocation import Invocation
from ..matching import Parameter, describe_option
from ..options import UsageError, take_options
from .table import TABLE

_BASH = """\
_smtpctl()
{
    local line=${COMP_LINE:0:COMP_POINT}
    local -a words # not COMP_WORDS, which are cut at "="
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] || unset 'words[-1]'
    local IFS=$'\\n'
    COMPREPLY=($(compgen -W "$(smtpctl complete -- "${words[@]:1}" 2>/dev/null)" \\
        -- "${COMP_WORDS[COMP_CWORD]}"))
    if [[ ${COMPREPLY[0]-} == *= ]]; then compopt -o nospace; fi
}
complete -F _smtpctl smtpctl
"""

_ZSH = """\
#compdef smtpctl
_smtpctl()
{
    local -a candidates
    candidates=(${(f)"$(smtpctl complete -- "${(@)words[2,CURRENT-1]}" 2>/dev/null)"})
    compadd -- ${candidates:#*=}
    compadd -S '' -- ${(M)candidates:#*=}
}
# as a file of a folder in fpath it is called for the first completion, from a start-up file it is not
if [[ ${funcstack[1]} == _smtpctl ]]; then _smtpctl "$@"; else compdef _smtpctl smtpctl; fi
"""


SHELLS = {"bash": _BASH, "zsh": _ZSH}


def explain_commands(
    invocation: Invocation, parameters: Sequence[Parameter], _options: Mapping[str, str]
) -> int:
    """help [COMMAND ...]: NoMatch if there is no such command."""
    commands = [each for each in TABLE.beginning_with(_words(parameters)) if not each.hidden]
    width = max(len(command.pattern) for command in commands)
    columns = invocation.output.width
    for command, following in zip(commands, [*commands[1:], None], strict=True):
        options = [(describe_option(option), option.help) for option in command.options]
        lines = _folded(f"{command.pattern:{width}}  ", command.help, columns)
        # options of several commands in a row are said once, behind the last of them
        if parameters and (following is None or following.options != command.options):
            wide = max(width - 4, *(len(option) for option, _ in options), 0) if options else 0
            for option, text in options:
                lines += _folded(f"    {option:{wide}}  ", text, columns)
        values = {
            "command": command.pattern,
            "help": command.help,
            "options": [{"option": option, "help": text} for option, text in options],
        }
        invocation.output.row(lines, values)
    return 0


def complete(invocation: Invocation, parameters: Sequence[Parameter], _options: Mapping[str, str]) -> int:
    """complete -- WORD ...: the words that may follow, for the shell's completion."""
    try:
        words, _state, _as_json = take_options(_words(parameters))
    except UsageError:  # the folder of --state is what is to be completed
        return 0
    for token in TABLE.following(words):
        if not token.startswith("<"):
            invocation.output.text(token)
    return 0


def completion(invocation: Invocation, parameters: Sequence[Parameter], _options: Mapping[str, str]) -> int:
    """completion bash|zsh: what to put into the shell's start-up file."""
    script = SHELLS.get(parameters[0].value)
    if script is None:
        return invocation.output.failed(f"no completion for {parameters[0].value}; for {', '.join(SHELLS)}")
    invocation.output.raw((script.encode(),))
    return 0


def _folded(head: str, text: str, columns: int) -> list[str]:
    """`text` behind `head`; at a terminal with so many columns, folded below its own beginning."""
    if columns <= len(head) + 20:
        return [head + text]
    return textwrap.wrap(
        text, columns, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False
    )


def _words(parameters: Sequence[Parameter]) -> list[str]:
    """The words after the command's own."""
    return list(parameters[0].value) if parameters else []
