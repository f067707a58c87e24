"""Threads for what waits."""

import asyncio
import threading
import time

import pytest

from smtpd.spool.workers import Workers


def threads(prefix: str) -> int:
    """How many threads have such a name."""
    return sum(1 for thread in threading.enumerate() if thread.name.startswith(prefix))


def test_results_come_in_the_loops_thread(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        workers = Workers(loop, 3, "test")
        here = threading.get_ident()
        done: asyncio.Future[None] = loop.create_future()
        results = []

        def then(result: tuple[int, int]) -> None:
            number, thread = result
            assert threading.get_ident() == here != thread
            results.append(number)
            if len(results) == 50:
                done.set_result(None)

        for number in range(50):
            workers.run(lambda number: (number * 2, threading.get_ident()), number, then=then)
        await asyncio.wait_for(done, 5)
        assert sorted(results) == list(range(0, 100, 2))
        await workers.close()

    loop.run_until_complete(main())
    assert threads("test-") == 0


def test_no_more_threads_than_jobs_or_than_allowed(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> int:
        workers = Workers(loop, 2, "few")
        assert threads("few-") == 0
        for _ in range(10):
            workers.run(time.sleep, 0.001, then=lambda _: None)
        most = threads("few-")
        await workers.close()
        return most

    assert loop.run_until_complete(main()) == 2


def test_close_waits_for_jobs_and_for_what_they_lead_to(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> list[int]:
        workers = Workers(loop, 2, "test")
        results: list[int] = []

        def again(result: int) -> None:
            results.append(result)
            if result < 5:
                workers.run(lambda: result + 1, then=again)

        workers.run(lambda: 0, then=again)
        await workers.close()
        return results

    assert loop.run_until_complete(main()) == [0, 1, 2, 3, 4, 5]


def test_close_without_work(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_until_complete(Workers(loop, 2, "test").close())


def test_an_exception_reaches_the_loop() -> None:
    loop = asyncio.new_event_loop()
    told: list[BaseException] = []
    loop.set_exception_handler(lambda _loop, context: told.append(context["exception"]))
    workers = Workers(loop, 1, "test")
    results: list[int] = []

    async def main() -> None:
        workers.run(lambda: 1 // 0, then=results.append)
        while not told:
            await asyncio.sleep(0.001)
        await asyncio.wait_for(workers.close(), 5)

    loop.run_until_complete(main())
    loop.close()
    assert results == []
    with pytest.raises(ZeroDivisionError):
        raise told[0]
