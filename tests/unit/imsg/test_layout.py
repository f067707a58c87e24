"""imsg/layout.py: no two parts of the memory overlap, and the C core says the same."""

import re
from pathlib import Path

from imsg import layout

HEADER = Path(layout.__file__).parent / "csrc" / "imsg.h"


def test_parts_lie_one_after_the_other() -> None:
    assert layout.HEAD.size <= layout.HEAD_SIZE == layout.NAMES_AT
    assert layout.KINDS_AT == layout.NAMES_AT + layout.NAMES * layout.NAME_SIZE
    assert layout.NOTE_AT == layout.KINDS_AT + layout.KINDS * layout.KIND.size
    assert layout.ENTRIES_AT == layout.NOTE_AT + layout.NOTE_SIZE
    assert all(at % 8 == 0 for at in (layout.KINDS_AT, layout.NOTE_AT, layout.ENTRIES_AT))
    assert layout.RECORD.size % 8 == 0 and layout.MAX_RECORD % 8 == 0


def test_the_docstring_s_offsets() -> None:
    text = layout.__doc__ or ""
    for name, at in (
        ("names", layout.NAMES_AT),
        ("kinds", layout.KINDS_AT),
        ("note", layout.NOTE_AT),
        ("entries", layout.ENTRIES_AT),
    ):
        assert re.search(rf"^ +{at}  {name} ", text, re.MULTILINE), name


def test_the_head_s_fields() -> None:
    head = layout.HEAD.pack(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
    assert head[layout.CAPACITY_AT] == 3 and head[layout.NEXT_AT] == 5 and head[layout.TAPE_ON_AT] == 7
    assert head[layout.POSITIONS_AT] == head[layout.WRITTEN_AT] == 8
    assert head[layout.TAIL_AT] == 9 and head[layout.RECORDS_AT] == 10


def test_the_c_core_has_the_same_numbers() -> None:
    text = HEADER.read_text()
    defined = dict(re.findall(r"^#define (IMSG_\w+)\s+\(?(\d+)u\)?\s", text, re.MULTILINE))
    for name, value in {
        "LAYOUT": layout.VERSION,
        "NEXT_AT": layout.NEXT_AT,
        "TAPE_ON_AT": layout.TAPE_ON_AT,
        "WRITTEN_AT": layout.WRITTEN_AT,
        "TAIL_AT": layout.TAIL_AT,
        "RECORDS_AT": layout.RECORDS_AT,
        "KINDS": layout.KINDS,
        "KIND": layout.KIND.size,
        "RULE_AT": layout.RULE_AT,
        "ENTRY": layout.ENTRY.size,
        "RECORD": layout.RECORD.size,
        "OUT": layout.OUT,
        "CARRIES": layout.DESCRIPTOR,
        "WITHHELD": layout.WITHHELD,
    }.items():
        assert defined[f"IMSG_{name}"] == str(value), name
