"""smtpd/parent/unserved.py"""

import pytest

from smtpd.config.model import Config, Filter, ListenAddress, Listener, QueueSettings
from smtpd.parent.unserved import Unsafe, serve

ADDRESS = ListenAddress("inet4", "127.0.0.1", 465, True)


def test_a_plain_configuration_is_served_as_it_is() -> None:
    config = Config(listeners=(Listener(on="lo", port=25, addresses=(ADDRESS,)),))
    served, lines = serve(config)
    assert served.listeners[0].addresses == (ADDRESS,)
    assert (served, lines) == (config, [])


def test_smtps_stays_closed_and_the_others_keep_their_places() -> None:
    config = Config(
        listeners=(
            Listener(on="lo", port=465, smtps=True, addresses=(ADDRESS,)),
            Listener(on="lo", port=25, addresses=(ADDRESS,)),
        )
    )
    served, lines = serve(config)
    assert [listener.addresses for listener in served.listeners] == [(), (ADDRESS,)]
    assert served.listeners[0].on == ""  # nor does it come back when an interface changes
    assert lines == ["listen on lo smtps: TLS is not there yet: not listening"]


@pytest.mark.parametrize(
    ("listener", "words"),
    [
        (Listener(on="lo", starttls=True), ["tls"]),
        (Listener(on="lo", starttls=True, tls_require=True), ["tls-require"]),
        (Listener(on="lo", auth=True), ["auth-optional"]),
        (Listener(on="lo", auth=True, auth_require=True), ["auth"]),
        (
            Listener(on="lo", proxy_v2=True, sender_table="s", hostname_table="h"),
            ["proxy-v2", "senders", "hostnames"],
        ),
    ],
)
def test_each_option_without_effect_is_named(listener: Listener, words: list[str]) -> None:
    assert serve(Config(listeners=(listener,)))[1] == [
        f"listen on lo {word}: not there yet" for word in words
    ]


def test_filters_in_use_and_compression_are_named() -> None:
    used = Filter(name="spam", type="proc", smtp_in=True)
    unused = Filter(name="other", type="proc")
    config = Config(filters={"spam": used, "other": unused}, queue=QueueSettings(compression=True))
    assert serve(config)[1] == [
        "queue compression: not there yet: messages are stored as they are",
        "filter spam: not there yet: mail passes without it",
    ]


def test_no_clear_text_in_a_spool_that_is_to_be_encrypted() -> None:
    with pytest.raises(Unsafe, match="encryption"):
        serve(Config(queue=QueueSettings(encryption=True)))
