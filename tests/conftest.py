"""What all tests share: hypothesis' settings, which marked tests run here, and which again."""

import os
from collections.abc import Iterator

import kinds
import pytest
import tree
from hypothesis import HealthCheck, settings
from reruns import reruns

from smtpd.messages.catalogue import CATALOGUE

# A machine that does other work meanwhile must not fail a property for being slow; pytest bounds every test.
# Where a run decides over a change it asks the same questions each time; elsewhere, new ones.
settings.register_profile(
    "here",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("here")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave soak tests out unless -m names them; skip, with the reason, what needs root; say what is tried
    again when it fails.
    """
    if "soak" not in str(config.getoption("-m")):
        soak = [item for item in items if item.get_closest_marker("soak")]
        if soak:
            config.hook.pytest_deselected(items=soak)
            items[:] = [item for item in items if item not in soak]
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason="needs to be root"))
    if not config.pluginmanager.hasplugin("rerunfailures"):  # -p no:rerunfailures, by a person who looks
        return
    for item in items:
        test = f"{os.path.relpath(item.path, tree.ROOT / 'tests')}::{item.name}"
        again = reruns(test, is_property=hasattr(getattr(item, "obj", None), "is_hypothesis_test"))
        if again:
            item.add_marker(pytest.mark.flaky(reruns=again))


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """What runs in the test's own process may set it for good; the next test must not inherit that."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Long bytes are no name: they may hold a time or a pid, and several runners must agree on all names."""
    return argname if isinstance(val, bytes) and len(val) > 12 else None


def pytest_configure(config: pytest.Config) -> None:
    """Have noted what daemons of this run send; whoever tests at the same time notes it in the same place."""
    if not hasattr(config, "workerinput"):
        kinds.begin()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """After a run of all tests, or of all of the system: which kinds of message none of them has sent."""
    if hasattr(config, "workerinput"):
        return
    edges = kinds.end()
    whole = _is_whole(config)
    if edges:
        kinds.write(edges, whole=whole)
    if whole and edges:
        unsent = kinds.unsent(edges)
        terminalreporter.section("messages between processes")
        terminalreporter.line(
            f"never sent in any test: {len(unsent)} of {len(CATALOGUE.by_number)} kinds"
            + (f": {', '.join(unsent)}" if unsent else "")
            + "; tools/message_map shows all"
        )


def _is_whole(config: pytest.Config) -> bool:
    """Whether nothing of the system tests was left out by the one who started this run."""
    chosen = {os.path.abspath(argument) for argument in config.args}
    everything = {str(tree.ROOT / path) for path in ("", "tests", "tests/system")}
    options = ("keyword", "markexpr", "lf", "stepwise", "deselect")
    return bool(chosen & everything) and not any(config.getoption(name, None) for name in options)
