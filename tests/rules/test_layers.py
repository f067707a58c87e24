"""Who may import whom: import-linter's contracts in setup.cfg, and the same read from the sources once more.

The second reading counts imports inside functions too, and says the file and line.
"""

import ast
import subprocess
import sys

import pytest
import tree

BELOW_A_PROCESS = {
    "smtpd", "smtpd.config", "smtpd.tables", "smtpd.spool", "smtpd.mproc",
    "smtpd.messages", "smtpd.protocol", "smtpd.mail", "imsg",
}  # fmt: skip
PROCESSES = ("parent", "control", "lookup", "queue", "scheduler", "pony", "delivery")

ALLOWED = {
    "smtpctl": {
        "smtpd", "smtpd.messages", "smtpd.spool", "smtpd.tables", "smtpd.config", "smtpd.mail",
        "smtpd.protocol", "imsg",
    },
    **{f"smtpd.{name}": BELOW_A_PROCESS for name in PROCESSES},
    "smtpd.config": {"smtpd.protocol", "smtpd.mail"},
    "smtpd.tables": {"smtpd.protocol", "smtpd.mail"},
    "smtpd.spool": {"smtpd.protocol", "smtpd.mail"},
    "smtpd.mproc": {"smtpd.messages", "imsg"},
    "smtpd.messages": {"smtpd.mail", "imsg"},
    "smtpd.protocol": {"smtpd.mail"},
    "smtpd.mail": set(),
    "imsg": set(),
    # __init__.py holds the version; __main__.py names the processes as strings.
    "smtpd": {"smtpd.mproc", "smtpd.messages"},
}  # fmt: skip
"""Layer -> the layers it may import besides itself (DESIGN, section 3)."""

IO_MODULES = {
    "asyncio", "fcntl", "http", "io", "logging", "mmap", "multiprocessing", "os", "pathlib", "pwd", "random",
    "resource", "secrets", "select", "selectors", "shutil", "signal", "smtplib", "socket", "socketserver",
    "sqlite3", "ssl", "subprocess", "syslog", "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip
"""Standard modules that do input or output, know the time or toss a coin: nothing for protocol and mail."""

IO_NAMES = {"open", "print", "input", "exec", "eval", "__import__"}

CLOCKS = ("datetime.now", "datetime.utcnow", "datetime.today", "date.today")


def layer_of(module: str) -> str:
    """smtpd.mail.ids -> smtpd.mail; smtpd.__main__ -> smtpd; imsg.frame -> imsg."""
    parts = module.split(".")
    if parts[0] != "smtpd":
        return parts[0]
    name = ".".join(parts[:2])
    return name if name in ALLOWED else "smtpd"


def test_import_linter_keeps_its_contracts() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
        + ["--no-cache"],
        cwd=tree.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_every_import_is_one_its_layer_may_make() -> None:
    wrong = []
    for path in tree.sources():
        layer = layer_of(tree.module_name(path))
        for found in tree.imports(path):
            if found.module.split(".")[0] not in tree.PACKAGES:
                continue
            target = layer_of(found.module)
            if target != layer and target not in ALLOWED[layer]:
                wrong.append(f"{found.where}: {layer} imports {found.module}")
    assert not wrong, "\n".join(wrong)


def test_every_folder_of_smtpd_is_a_known_layer() -> None:
    folders = {
        path.parts[1]
        for file in tree.sources("smtpd")
        if len((path := file.relative_to(tree.ROOT)).parts) > 2
    }
    assert {f"smtpd.{folder}" for folder in folders} <= set(ALLOWED)


@pytest.mark.parametrize("package", ["smtpd/protocol", "smtpd/mail"])
def test_no_input_output_time_or_chance_in(package: str) -> None:
    wrong = []
    for path in tree.sources(package):
        for found in tree.imports(path):
            top = found.module.split(".")[0]
            if top in IO_MODULES or (top not in sys.stdlib_module_names and top not in tree.PACKAGES):
                wrong.append(f"{found.where}: imports {found.module}")
        for node in ast.walk(tree.parsed(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IO_NAMES:
                wrong.append(f"{tree.relative(path)}:{node.lineno}: calls {node.func.id}")
            if isinstance(node, ast.Attribute) and ast.unparse(node).endswith(CLOCKS):
                wrong.append(f"{tree.relative(path)}:{node.lineno}: asks the clock with {ast.unparse(node)}")
    assert not wrong, "\n".join(wrong)


def test_the_reading_itself_sees_every_form_of_import(tmp_path, monkeypatch) -> None:
    source = tmp_path / "smtpd" / "queue" / "process.py"
    source.parent.mkdir(parents=True)
    for package in ("smtpd", "smtpd/queue", "smtpd/mail", "smtpd/pony"):
        (tmp_path / package).mkdir(exist_ok=True)
        (tmp_path / package / "__init__.py").write_text("")
    source.write_text(
        "import os.path, imsg.frame\n"
        "from smtpd import mail\n"
        "from ..pony import process\n"
        "def later():\n"
        "    from . import process as own\n"
        "    from smtpd.mail.ids import parse_msgid\n"
    )
    monkeypatch.setattr(tree, "ROOT", tmp_path)
    tree.is_module.cache_clear()
    try:
        found = [found.module for found in tree.imports(source)]
    finally:
        tree.is_module.cache_clear()
    expected = ["os.path", "imsg.frame", "smtpd.mail", "smtpd.pony", "smtpd.queue.process", "smtpd.mail.ids"]
    assert sorted(found) == sorted(expected)
