"""smtpd/mproc/loop.py."""

import asyncio

import uvloop

from smtpd.mproc.loop import new_loop


def test_an_own_loop_on_uvloop() -> None:
    loop = new_loop()
    try:
        assert isinstance(loop, uvloop.Loop)
        assert asyncio.get_event_loop() is loop
        assert loop.run_until_complete(asyncio.sleep(0, "ran")) == "ran"
    finally:
        loop.close()
        asyncio.set_event_loop(None)
