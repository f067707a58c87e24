"""What all tests share: hypothesis' settings, and which marked tests run here."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

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
    """Leave soak tests out unless -m names them; skip, with the reason, what needs root."""
    if "soak" not in str(config.getoption("-m")):
        soak = [item for item in items if item.get_closest_marker("soak")]
        if soak:
            config.hook.pytest_deselected(items=soak)
            items[:] = [item for item in items if item not in soak]
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason="needs to be root"))


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """What runs in the test's own process may set it for good; the next test must not inherit that."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Long bytes are no name: they may hold a time or a pid, and several runners must agree on all names."""
    return argname if isinstance(val, bytes) and len(val) > 12 else None
