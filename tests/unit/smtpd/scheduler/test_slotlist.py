"""smtpd/scheduler/slotlist.py against plain lists."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from smtpd.scheduler.slotlist import NONE, Links, SlotList

SLOTS = 12


class ListsMachine(RuleBasedStateMachine):
    """Two lists over the same links do what two Python lists do."""

    def __init__(self) -> None:
        super().__init__()
        links = Links()
        links.grow(SLOTS)
        self.lists = (SlotList(links), SlotList(links))
        self.models: tuple[list[int], list[int]] = ([], [])

    @rule(which=st.integers(0, 1), slot=st.integers(0, SLOTS - 1))
    def append(self, which: int, slot: int) -> None:
        if slot not in self.models[0] and slot not in self.models[1]:
            self.lists[which].append(slot)
            self.models[which].append(slot)

    @precondition(lambda self: self.models[0] or self.models[1])
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.models[0] + self.models[1])))
        which = int(slot in self.models[1])
        self.lists[which].remove(slot)
        self.models[which].remove(slot)

    @rule(which=st.integers(0, 1), most=st.integers(0, SLOTS))
    def take(self, which: int, most: int) -> None:
        assert self.lists[which].take(most) == self.models[which][:most]
        del self.models[which][:most]

    @invariant()
    def same(self) -> None:
        for slots, model in zip(self.lists, self.models, strict=True):
            assert list(slots) == model
            assert slots.count == len(slots) == len(model)


TestLists = ListsMachine.TestCase
TestLists.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def test_links_of_new_slots_lead_nowhere() -> None:
    links = Links()
    links.grow(3)
    assert list(links.after) == list(links.before) == [NONE] * 3
