"""What no file may hold: a machine's own paths, unfinished work, a name that says who typed it."""

import re

import tree

# Written in two parts, so that this file does not hold them itself.
WORDS = [
    *(rf"(?<![\w./-])/{folder}/(?=[\w.])" for folder in ("work", "root")),
    *(rf"\b{start}{end}\b" for start, end in (("TO", "DO"), ("FIX", "ME"), ("X", "XX"), ("HA", "CK"))),
    *(
        rf"(?i:\b{start}{end}\b)"
        for start, end in (
            ("anth", "ropic"), ("clau", "de"), ("chat", "gpt"), ("open", "ai"), ("co", "pilot"),
            ("language ", "model"),
            ("AI[- ]", "generated"), ("work", "place"),
        )
    ),
]  # fmt: skip
PATTERN = re.compile("|".join(WORDS))
BINARY = {".png", ".gz", ".db", ".der", ".pcapng"}


def test_no_file_holds_them() -> None:
    found = []
    for path in tree.project_files():
        if path.suffix in BINARY or path == tree.ROOT / "tests/rules/test_words.py" or "corpus" in path.parts:
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if hit := PATTERN.search(line):
                found.append(f"{tree.relative(path)}:{number}: {hit[0]}")
    assert not found, "\n".join(found)


def test_the_pattern_knows_them() -> None:
    for text in ("cd /wo" + "rk/main", "see /ro" + "ot/.pyenv", "# TO" + "DO later", "Chat" + "GPT wrote it"):
        assert PATTERN.search(text), text
    for text in (
        "tests/work/x",
        "the work/root/x",
        "/proc/1/root",
        "https://example.org/work/x",
        "XXXX",
        "hackney",
    ):
        assert not PATTERN.search(text), text


def test_text_files_end_with_a_newline_and_have_no_stray_blanks() -> None:
    wrong = []
    for path in tree.project_files():
        relative = tree.relative(path)
        if path.suffix not in {".py", ".md", ".cfg", ".toml", ".c", ".h"} and not relative.startswith(
            "tools/"
        ):
            continue
        text = path.read_text()
        if text and not text.endswith("\n"):
            wrong.append(f"{relative}: no newline at its end")
        for number, line in enumerate(text.splitlines(), 1):
            if line != line.rstrip():
                wrong.append(f"{relative}:{number}: blanks at the end of the line")
            if "\t" in line and path.suffix == ".py":
                wrong.append(f"{relative}:{number}: a tab")
    assert not wrong, "\n".join(wrong)
