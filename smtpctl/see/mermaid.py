"""One mail's way as a Mermaid sequence diagram (https://mermaid.js.org/syntax/sequenceDiagram.html)."""

from collections.abc import Iterator

from .flow import COLUMNS, Flow
from .line import duration


def mermaid(flow: Flow) -> Iterator[str]:
    """The lines. Replies are dashed, with the time since their request."""
    yield "---"
    yield f"title: {_text(flow.title)}"
    yield "---"
    yield "sequenceDiagram"
    names: dict[str, str] = {}
    for name in flow.processes:
        names[name] = name if name in COLUMNS else f"other{len(names)}"  # "end" would end a block
        yield f"    participant {names[name]}" + (f" as {_text(name)}" if names[name] != name else "")
    for message in flow.messages:
        arrow = "->>" if message.request is None else "-->>"
        text = message.name
        if message.elapsed is not None:
            text += f" ({duration(message.elapsed)})"
        if message.descriptor:
            text += " +fd"
        yield f"    {names[message.sender]}{arrow}{names[message.receiver]}: {_text(text)}"


def _text(text: str) -> str:
    """A text that ends no statement: but for words all is written as Mermaid's entity codes, ; as #59;."""
    return "".join(c if c.isalnum() or c in " .()+-_" else f"#{ord(c)};" for c in text)
