import pytest

from smtpd.config.filters import CONDITIONS
from smtpd.config.model import Filter, FilterCondition, Processor


def test_kinds(parse) -> None:
    config = parse(
        'proc p "cmd"\nfilter a proc p\nfilter b proc-exec "run" user u\n'
        'filter c phase connect match !rdns reject "550 no"\nfilter d chain { a, b\n c }'
    )
    assert config.filters == {
        "a": Filter(name="a", type="proc", processor="p"),
        "b": Filter(name="b", type="proc", processor="b"),
        "c": Filter(
            name="c",
            type="builtin",
            phase="connect",
            condition=FilterCondition("rdns", True),
            decision="reject",
            text="550 no",
        ),
        "d": Filter(name="d", type="chain", chain=("a", "b", "c")),
    }
    assert config.processors == {
        "p": Processor(name="p", command="cmd"),
        "b": Processor(name="b", command="run", user="u"),
    }


@pytest.mark.parametrize("phase", CONDITIONS)
@pytest.mark.parametrize("condition", ["fcrdns", "rdns", "src", "helo", "auth", "mail-from", "rcpt-to"])
def test_what_can_be_asked_when(parse, refused, phase: str, condition: str) -> None:
    table = "" if condition == "fcrdns" else "regex { x }"
    text = f'filter f phase {phase} match {condition} {table} disconnect "550 no"'
    if condition in CONDITIONS[phase]:
        name = "<dynamic:0>" if table else ""
        found = parse(text).filters["f"]
        assert (found.phase, found.condition) == (phase, FilterCondition(condition, False, name, bool(table)))
    else:
        assert refused(text)[0].message == f"syntax error: {condition} is not known yet in phase {phase}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filter f proc-exec a\nfilter f proc-exec b", "filter already exists with that name: f"),
        ("filter f proc p", "no processor exist with that name: p"),
        ("filter c chain { f }", "no filter exist with that name: f"),
        ("filter f proc-exec a\nfilter c chain { f, f }", "no filter allowed twice within a filter chain: f"),
        (
            "filter f proc-exec a\nfilter c chain { f }\nfilter d chain { c }",
            "no filter chain allowed within a filter chain: c",
        ),
        ("filter f phase commit match auth junk", 'syntax error at "junk"'),
        (
            'filter "<dynchain:1>" proc-exec x',
            'names that begin with "<dynchain:" are for chains without a name',
        ),
        ("filter f proc-exec a\nlisten on lo filter f filter f", "filter already specified"),
        ("listen on lo filter f", "no filter exist with that name: f"),
    ],
)
def test_refused(refused, text: str, message: str) -> None:
    assert refused(text)[0].message == message


def test_who_uses_a_filter(parse) -> None:
    config = parse(
        "filter a proc-exec x\nfilter b proc-exec x\nfilter c proc-exec x\nfilter d proc-exec x\n"
        "filter chained chain { a }\nlisten on lo filter chained\naction r relay filter { b, c }"
    )
    uses = {name: (found.smtp_in, found.smtp_out) for name, found in config.filters.items()}
    assert uses == {
        "a": (True, False),
        "b": (False, True),
        "c": (False, True),
        "d": (False, False),
        "chained": (True, False),
        "<dynchain:00000001>": (False, True),
    }
    assert config.actions["r"].filter == "<dynchain:00000001>"


def test_a_refused_filter_is_told_once(refused) -> None:
    assert len(refused("filter f proc-exec\nlisten on lo filter f\nfilter c chain { f }")) == 1
