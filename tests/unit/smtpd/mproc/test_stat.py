"""smtpd/mproc/stat.py."""

from hypothesis import given
from hypothesis import strategies as st

from smtpd.mproc.stat import Stat


def test_counting() -> None:
    stat = Stat()
    assert stat.get("smtp.session") == 0 and stat.items() == []
    stat.add("smtp.session")
    stat.add("smtp.session", 4)
    stat.sub("smtp.session", 2)
    stat.sub("smtp.session")
    stat.set("uptime", 77)
    stat.sub("mta.relay")
    assert stat.get("smtp.session") == 2
    assert stat.items() == [("mta.relay", -1), ("smtp.session", 2), ("uptime", 77)]
    stat.set("uptime", 0)
    assert stat.get("uptime") == 0 and ("uptime", 0) in stat.items()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "sub", "set"]), st.sampled_from("abc"), st.integers(-(2**40), 2**40)
        )
    )
)
def test_as_a_dictionary(steps: list[tuple[str, str, int]]) -> None:
    stat, model = Stat(), dict[str, int]()
    for step, name, number in steps:
        getattr(stat, step)(name, number)
        before = model.get(name, 0)
        model[name] = {"add": before + number, "sub": before - number, "set": number}[step]
    assert stat.items() == sorted(model.items())
    assert all(stat.get(name) == model.get(name, 0) for name in "abcd")
