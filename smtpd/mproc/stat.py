"""The counters of a process, under OpenSMTPD's names (smtpctl(8), "show stats")."""

from collections.abc import Callable


class Stat:
    """Counters by name. They are collected by control when somebody asks, not sent at every change."""

    def __init__(self) -> None:
        self._counters: dict[str, int] = {}

    def add(self, name: str, count: int = 1) -> None:
        """Count `count` more."""
        counters = self._counters
        counters[name] = counters.get(name, 0) + count

    def sub(self, name: str, count: int = 1) -> None:
        """Count `count` less: for what is there now, not for what has been."""
        counters = self._counters
        counters[name] = counters.get(name, 0) - count

    def set(self, name: str, value: int) -> None:
        """The value itself."""
        self._counters[name] = value

    def get(self, name: str) -> int:
        """The value; 0 for what was never counted."""
        return self._counters.get(name, 0)

    def items(self) -> list[tuple[str, int]]:
        """All counters, by name."""
        return sorted(self._counters.items())

    def trace(self, write: Callable[[str], None] | None) -> None:
        """Have a line written for every change, or no more: then a counter costs what it did."""
        for name in ("add", "sub", "set"):
            vars(self).pop(name, None)
            if write is not None:
                setattr(self, name, self._traced(getattr(self, name), write))

    def _traced(self, change: Callable[..., None], write: Callable[[str], None]) -> Callable[..., None]:
        def traced(name: str, count: int = 1) -> None:
            before = self.get(name)
            change(name, count)
            after = self.get(name)
            if after != before:
                write(f"{name}: {before} -> {after}")

        return traced
