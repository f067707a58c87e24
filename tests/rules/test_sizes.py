"""Files stay small, have names that say what they hold, and each source file has its twin among the tests."""

import ast
from pathlib import Path

import tree

LINES = 500
FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "misc", "manager", "managers", "base"}
CODE = {".py", ".c", ".h", ".sh", ".lua", ".html", ".js"}


def program_files() -> list[Path]:
    """Every file of code, tools without an ending included."""
    return [
        path
        for path in tree.project_files()
        if path.suffix in CODE or tree.relative(path).startswith("tools/")
    ]


def test_files_are_not_longer_than_can_be_read() -> None:
    lengths = {tree.relative(path): path.read_bytes().count(b"\n") for path in program_files()}
    assert {name: length for name, length in lengths.items() if length > LINES} == {}


def test_no_file_or_folder_is_named_for_nothing() -> None:
    wrong = [
        tree.relative(path)
        for path in tree.project_files()
        if FORBIDDEN_NAMES & {part.split(".")[0] for part in path.relative_to(tree.ROOT).parts}
    ]
    assert wrong == []


def has_behaviour(path: Path) -> bool:
    """Whether a file holds a function: declarations alone (messages, constants) have nothing to run."""
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree.parsed(path))
    )


def twin_of(path: Path) -> Path:
    """smtpd/spool/fs.py -> tests/unit/smtpd/spool/test_fs.py"""
    relative = path.relative_to(tree.ROOT)
    return tree.ROOT / "tests/unit" / relative.parent / f"test_{relative.name}"


def test_every_source_file_has_its_twin() -> None:
    missing = [
        tree.relative(twin_of(path))
        for path in tree.sources()
        if has_behaviour(path) and not twin_of(path).is_file()
    ]
    assert not missing, "\n".join(missing)


def fits(stem: str, source: Path) -> bool:
    """test_fs.py and test_fs_crash.py test fs.py; test_readme.py tests the example in README.md."""
    name = source.name.split(".")[0]
    return stem == name.lower() or stem.startswith(f"{name}_")


def test_every_twin_has_its_source_file_and_tests_something() -> None:
    wrong = []
    for path in tree.project_files():
        name = tree.relative(path)
        if not (name.startswith("tests/unit/") and path.name.startswith("test_") and path.suffix == ".py"):
            continue
        folder = path.parent.relative_to(tree.ROOT / "tests/unit")
        stem = path.name.removeprefix("test_").removesuffix(".py")
        if not any(fits(stem, source) for source in (tree.ROOT / folder).iterdir()):
            wrong.append(f"{name}: there is no {folder / stem}.py")
        if not any(
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
            for node in ast.walk(tree.parsed(path))
        ):
            wrong.append(f"{name}: holds no test")
    assert not wrong, "\n".join(wrong)
