"""One mail's way as a Mermaid sequence diagram (https://mermaid.js.org/syntax/sequenceDiagram.html)."""

from collections.abc import Iterator

from .flow import Flow
from .line import duration


def mermaid(flow: Flow) -> Iterator[str]:
    """The lines. Replies are dashed, with the time since their request."""
    yield "---"
    yield f"title: {flow.title}"
    yield "---"
    yield "sequenceDiagram"
    for name in flow.processes:
        yield f"    participant {name}"
    for message in flow.messages:
        arrow = "->>" if message.request is None else "-->>"
        text = message.name
        if message.elapsed is not None:
            text += f" ({duration(message.elapsed)})"
        if message.descriptor:
            text += " +fd"
        yield f"    {message.sender}{arrow}{message.receiver}: {text}"
