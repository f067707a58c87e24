"""What all tests share: hypothesis' settings, and which marked tests run here."""

import os

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
