"""smtpd/messages/client_digest.py."""

from smtpd.messages.client_catalogue import CLIENT_CATALOGUE
from smtpd.messages.client_digest import DIGEST


def test_it_is_that_of_the_declarations() -> None:
    assert CLIENT_CATALOGUE.digest() == DIGEST, f'write into it: DIGEST = "{CLIENT_CATALOGUE.digest()}"'
