import dataclasses

import pytest

from smtpd.config import model
from smtpd.config.model import Config, Listener, MtaLimits, Place, Rule


def test_values_are_frozen() -> None:
    for value in (Config(), Listener(on="lo"), Rule(criteria=()), MtaLimits()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, dataclasses.fields(value)[0].name, "x")
        assert not hasattr(value, "__dict__")


def test_places_and_generations_do_not_count() -> None:
    assert Rule(criteria=(), place=Place("a", 1)) == Rule(criteria=(), place=Place("b", 2))
    assert Config(generation=1) == Config(generation=2)
    assert Config(hostname="a") != Config(hostname="b")


def test_defaults_are_opensmtpds() -> None:
    config = Config()
    assert config.smtp.max_message_size == 36700160
    assert (config.smtp.max_rcpt, config.smtp.max_mails, config.smtp.sub_addr_delim) == (1000, 100, "+")
    assert (config.queue.ttl, config.srs.ttl_days, config.bounce_warn) == (345600, 4, (14400,))
    assert config.mta_limits == {"default": MtaLimits()}
    assert dataclasses.astuple(config.scheduler) == (5000, 256, 1024, 10)
    assert dataclasses.astuple(config.mda) == (50, 7, 50, 30, 10)


def test_secrets_are_not_shown() -> None:
    text = repr(
        Config(
            queue=model.QueueSettings(key="sesame"),
            srs=model.SrsSettings(key="sesame", key_backup="sesame"),
            pkis={"a": model.Pki(name="a", key=b"sesame")},
        )
    )
    assert "sesame" not in text
