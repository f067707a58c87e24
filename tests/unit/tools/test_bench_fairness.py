"""tools/bench_fairness.py: its sums; what it measures is no matter of a test."""

from bench_fairness import Kind, share


def test_shares_of_waiting_times() -> None:
    waits = [float(number) for number in range(100, 0, -1)]
    assert (share(waits, 0.5), share(waits, 0.99), share(waits, 1)) == (51, 100, 100)
    assert share([], 0.5) == 0
    assert share([3.0], 0.99) == 3


def test_every_domain_has_a_host_of_its_own() -> None:
    kind = Kind("small", 40, 1000, 1)
    hosts = [kind.host(number) for number in range(kind.domains)]
    assert len(set(hosts)) == 1000
    assert (hosts[0], hosts[-1]) == ("127.40.0.1", "127.40.3.250")
    assert kind.domain(7) == "small7.test"
