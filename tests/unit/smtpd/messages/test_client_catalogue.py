"""smtpd/messages/client_catalogue.py."""

from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.client_catalogue import CLIENT_CATALOGUE
from smtpd.messages.links import CLIENT, CONTROL


def test_only_what_passes_between_smtpctl_and_control() -> None:
    assert CLIENT_CATALOGUE.by_number
    for number, kind in CLIENT_CATALOGUE.by_number.items():
        assert {*kind.senders, *kind.receivers} == {CLIENT, CONTROL}
        assert CATALOGUE.by_number[number] is kind


def test_all_of_it() -> None:
    client_kinds = {
        number for number, kind in CATALOGUE.by_number.items() if CLIENT in (*kind.senders, *kind.receivers)
    }
    assert client_kinds == set(CLIENT_CATALOGUE.by_number)
