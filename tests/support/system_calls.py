"""Calls to os that a test records in their order, one of which may fail."""

import errno
import os
from typing import Any

import pytest

from smtpd.spool import durable


class SystemCalls:
    """Records calls, each fsync as one; the `number`-th of the name `fail` ends with `error`."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, fail: str = "", number: int = 0, error: int = errno.EIO
    ) -> None:
        self.names: list[str] = []
        monkeypatch.setattr(durable, "one_by_one", True)
        for name in ("open", "write", "fsync", "rename", "unlink", "mkdir"):
            monkeypatch.setattr(os, name, self._wrap(name, getattr(os, name), fail, number, error))

    def _wrap(self, name: str, real: Any, fail: str, number: int, error: int) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            self.names.append(name)
            if name == fail and self.names.count(name) == number:
                raise OSError(error, os.strerror(error))
            return real(*arguments, **named)

        return call
