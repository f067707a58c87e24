"""What each process has loaded when it gives up its rights: its own code and the layers below, nothing else.

That a child imports nothing after that is checked where daemons run: tests/support/daemon.py reads the logs.
"""

import os
import subprocess
import sys

import pytest
import tree

from smtpd.messages import links

BELOW = {"config", "tables", "spool", "mproc", "messages", "protocol", "mail", "__main__"}

REPORT = """
import sys
from smtpd.mproc import child

def report(process_class):
    print(process_class.__module__)
    print(*sorted(sys.modules), sep="\\n")
    sys.exit()

child.main = report
sys.argv = ["smtpd", "-x", {name!r}]
import smtpd.__main__
smtpd.__main__.main()
"""


def loaded_by(name: str) -> tuple[str, set[str]]:
    """The module of the process class, and every module that is loaded when `-x name` enters child.main."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT.format(name=name)],
        cwd=tree.ROOT,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    first, *modules = done.stdout.splitlines()
    return first, set(modules)


@pytest.mark.parametrize("name", links.CHILDREN)
def test_a_child_has_loaded_its_own_code_and_the_layers_below(name: str) -> None:
    own, modules = loaded_by(name)
    assert own == f"smtpd.{name}.process"
    assert "smtpctl" not in modules
    ours = {module.split(".")[1] for module in modules if module.startswith("smtpd.")}
    assert ours <= BELOW | {name}


@pytest.mark.parametrize("name", links.CHILDREN)
def test_a_child_has_the_quick_loop_and_no_other_programs_code(name: str) -> None:
    _, modules = loaded_by(name)
    assert "uvloop" in modules
    # Packages of hundreds of modules that one process at most has a use for.
    assert (
        not {"pyroute2", "pytest", "hypothesis", "setuptools", "pip", "tkinter", "multiprocessing.pool"}
        & modules
    )


@pytest.mark.parametrize("name", [name for name in links.CHILDREN if name != "lookup"])
def test_only_lookup_has_the_resolver(name: str) -> None:
    _, modules = loaded_by(name)
    assert not {module for module in modules if module == "dns" or module.startswith("dns.")}


def test_the_command_line_alone_loads_no_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, smtpd.__main__; print(*sorted(sys.modules), sep='\\n')"],
        cwd=tree.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    ours = {module for module in done.stdout.splitlines() if module.startswith(("smtpd.", "imsg"))}
    assert ours <= {"smtpd.__main__", "smtpd.messages", "smtpd.messages.links"}
