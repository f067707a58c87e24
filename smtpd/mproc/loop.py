"""The event loop of a process: asyncio's on uvloop."""

import asyncio

import uvloop


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop, set as the current one. Made before the chroot: it opens what it needs at once."""
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop
