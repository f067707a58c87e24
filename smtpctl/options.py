"""The options that every command has: --state DIR and --json."""


class UsageError(Exception):
    """They are wrong; the text says how."""


def take_options(words: list[str]) -> tuple[list[str], str | None, bool]:
    """The words without --state DIR and --json, wherever these stand before a lone "--"; their values.

    UsageError.
    """
    left: list[str] = []
    state: str | None = None
    as_json = False
    waiting = iter(words)
    for word in waiting:
        if word == "--":
            left += [word, *waiting]
        elif word == "--json":
            as_json = True
        elif word == "--state":
            state = next(waiting, None)
            if state is None:
                raise UsageError("--state needs a folder")
        elif word.startswith("--state="):
            state = word.removeprefix("--state=")
        else:
            left.append(word)
    return left, state, as_json
