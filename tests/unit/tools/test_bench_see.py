"""tools/bench_see.py: what is made of the pairs of rounds."""

import math
import random

from bench_see import Round, compare, interval, trimmed_mean


def test_a_tenth_at_each_end_says_nothing() -> None:
    assert trimmed_mean([1.0, 2.0, 3.0]) == 2.0
    assert trimmed_mean([-1000.0, *[1.0, 3.0] * 4, 1000.0]) == 2.0


def test_the_interval_holds_the_mean_and_narrows() -> None:
    drawn = random.Random(7)
    few = [drawn.gauss(0.03, 0.05) for _ in range(12)]
    many = [drawn.gauss(0.03, 0.05) for _ in range(400)]
    for values in (few, many):
        low, high = interval(values)
        assert low < trimmed_mean(values) < high and low < 0.03 < high
    assert interval(many)[1] - interval(many)[0] < (interval(few)[1] - interval(few)[0]) / 3
    assert interval([0.5] * 10) == (0.5, 0.5)


def test_pairs_are_of_one_of_each_whichever_came_first() -> None:
    order: list[str] = []

    def one(name: str, processor: float) -> Round:
        order.append(name)
        return Round(100.0, processor)

    line = compare("x", 0.05, 4, lambda: one("plain", 1.0), lambda: one("other", 1.25))
    assert order == ["plain", "other", "other", "plain"] * 2
    for share in (line.mean, line.low, line.high, line.processor):
        assert math.isclose(share, 0.25)
    assert (line.rate, line.mails, line.milliseconds) == (0.0, 100.0, 1250.0)


def test_two_alike_that_scatter_are_alike() -> None:
    spent = iter([1.0, 2.0] * 20)

    def one() -> Round:
        return Round(100.0, next(spent))

    line = compare("x", 0.05, 20, one, one)
    assert math.isclose(line.mean, 0, abs_tol=1e-12), (
        "twice as much in a half of the pairs, half in the other"
    )
