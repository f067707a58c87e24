import asyncio
import os
import pwd

import pytest

from smtpd.tables import getpwnam
from smtpd.tables.getpwnam import GetpwnamTable
from smtpd.tables.service import TemporaryFailure

ME = pwd.getpwuid(os.getuid())


def test_questions() -> None:
    async def ask() -> None:
        table = GetpwnamTable("users")
        assert await table.lookup("userinfo", ME.pw_name) == f"{ME.pw_uid}:{ME.pw_gid}:{ME.pw_dir}"
        assert await table.check("userinfo", ME.pw_name) is True
        for name in ("no-such-user-here", "", "a\0b", "\udcff"):
            assert await table.lookup("userinfo", name) is None
            assert await table.check("userinfo", name) is False
        for failure in (
            await table.lookup("alias", ME.pw_name),
            await table.check("alias", ME.pw_name),
            await table.lookup("userinfo", "x" * 2000),
            await table.fetch("userinfo"),
        ):
            assert isinstance(failure, TemporaryFailure)
        assert await table.update() == ""
        await table.close()

    asyncio.run(ask())


def test_a_failing_system(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(getpwnam.pwd, "getpwnam", fail)
    failure = asyncio.run(GetpwnamTable("users").lookup("userinfo", "joe"))
    assert isinstance(failure, TemporaryFailure)
    assert "Input/output" in failure.reason
