"""The source tree as the rule tests see it: files, their modules, and what they import."""

import ast
import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("imsg", "smtpd", "smtpctl")

_LEFT_OUT = {".git", ".venv", ".cache", ".state", "build", "__pycache__", ".hypothesis"}
_LEFT_OUT_ENDS = ("_cache", ".egg-info", ".so")


class Import(NamedTuple):
    """One import statement's target. `where` is "file:line"."""

    module: str
    where: str


@functools.cache
def project_files() -> tuple[Path, ...]:
    """Every file that belongs to the project: what git tracks or would, else what is not made by tools."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return tuple(sorted(path for path in ROOT.rglob("*") if path.is_file() and _ours(path)))
    names = (name for name in listed.decode("utf-8", "surrogateescape").split("\0") if name)
    return tuple(sorted(path for name in names if (path := ROOT / name).is_file()))


def _ours(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return not any(part in _LEFT_OUT or part.endswith(_LEFT_OUT_ENDS) for part in parts)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def sources(*packages: str) -> Iterator[Path]:
    """The Python files of these packages ("smtpd/mail"); of all ours without arguments."""
    folders = tuple(f"{package}/" for package in packages or PACKAGES)
    for path in project_files():
        if path.suffix == ".py" and relative(path).startswith(folders):
            yield path


def module_name(path: Path) -> str:
    """smtpd/mail/ids.py -> smtpd.mail.ids; an __init__.py is its package."""
    name = relative(path).removesuffix(".py").replace("/", ".")
    return name.removesuffix(".__init__")


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), filename=relative(path))


def imports(path: Path) -> Iterator[Import]:
    """Every module a file imports, wherever in it the statement stands; relative ones resolved.

    `from smtpd import mail` gives smtpd.mail: a name that is a module of ours counts as one.
    """
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, f"{relative(path)}:{node.lineno}")
        elif isinstance(node, ast.ImportFrom):
            target = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                target = ".".join([*above, target] if target else above)
            for alias in node.names:
                whole = f"{target}.{alias.name}"
                yield Import(whole if is_module(whole) else target, f"{relative(path)}:{node.lineno}")


@functools.cache
def is_module(name: str) -> bool:
    """Whether `name` is a module or package of this tree."""
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()
