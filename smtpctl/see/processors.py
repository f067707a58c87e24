"""How much of the processors' time is left, by proc_stat(5): whether whoever looks takes it from others."""

from pathlib import Path

STAT = Path("/proc/stat")


class Processors:
    """Those of this machine, of a container's host. One that does not tell counts as busy."""

    def __init__(self, path: Path = STAT) -> None:
        self._path = path
        self._before = self._read()

    def idle(self) -> float:
        """The part of their time, 0 to 1, in which they had nothing to do since the last call.

        0 if nothing was counted since then: the kernel counts hundredths of a second.
        """
        now = self._read()
        idle, whole = now[0] - self._before[0], now[1] - self._before[1]
        if whole <= 0:
            return 0.0
        self._before = now
        return max(0.0, idle / whole)

    def _read(self) -> tuple[int, int]:
        """Idle time, that of waiting for disks among it, and all time; zeros if they are not told."""
        try:
            with open(self._path, "rb") as file:
                times = [int(word) for word in file.readline().split()[1:9]]
        except (OSError, ValueError):
            return 0, 0
        return sum(times[3:5]), sum(times)
