import pytest

from smtpd.config.model import (
    Ca,
    Config,
    MdaLimits,
    MtaLimits,
    Pki,
    Processor,
    QueueSettings,
    SchedulerLimits,
    SmtpSettings,
    SrsSettings,
)
from smtpd.config.settings import KEYS_MTA


@pytest.mark.parametrize(
    ("text", "field", "expected"),
    [
        ("admd mx.example", "admd", "mx.example"),
        ("bounce warn-interval 1h, 2d", "bounce_warn", (3600, 172800)),
        ("bounce warn-interval 1s, 2s, 3s, 4s, 5s", "bounce_warn", (1, 2, 3, 4)),
        ('ca A.b cert "/c"', "cas", {"a.b": Ca(name="a.b", cert_file="/c")}),
        ('pki "*"', "pkis", {"*": Pki(name="*")}),
        (
            'pki a key "/k"\npki A cert "/c" dhe AUTO',
            "pkis",
            {"a": Pki(name="a", cert_file="/c", key_file="/k", dhe="auto")},
        ),
        ('mda wrapper w "x y"', "mda_wrappers", {"w": "x y"}),
        ("mda limit max-session 2 task-hiwat 3", "mda", MdaLimits(max_session=2, task_hiwat=3)),
        ("mta max-deferred 7", "mta_max_deferred", 7),
        ("mta max-deferred -7", "mta_max_deferred", 2**63 - 1),
        ("mta limit inet6", "mta_limits", {"default": MtaLimits(family="inet6")}),
        (
            "mta limit session-mail-max 5\nmta limit for domain d max-conn-per-host -1\nmta limit inet4",
            "mta_limits",
            {
                "default": MtaLimits(max_mail_per_session=5, family="inet4"),
                "d": MtaLimits(max_mail_per_session=5, maxconn_per_host=2**63 - 1),
            },
        ),
        ("mta limit conn-delay-host -1", "mta_limits", {"default": MtaLimits(conndelay_host=-1)}),
        (
            'proc p "x y" group g user u chroot "/c"',
            "processors",
            {"p": Processor(name="p", command="x y", user="u", group="g", chroot="/c")},
        ),
        ("queue compression", "queue", QueueSettings(compression=True)),
        ("queue ttl 2d", "queue", QueueSettings(ttl=172800)),
        ("queue encryption", "queue", QueueSettings(encryption=True)),
        ("queue encryption Stdin", "queue", QueueSettings(encryption=True, key="stdin")),
        ("scheduler limit max-schedule 4", "scheduler", SchedulerLimits(max_schedule=4)),
        ("smtp limit max-rcpt 4 max-mails 5", "smtp", SmtpSettings(max_rcpt=4, max_mails=5)),
        ("smtp max-message-size 2M", "smtp", SmtpSettings(max_message_size=2 << 20)),
        ("smtp max-message-size 10", "smtp", SmtpSettings(max_message_size=10)),
        ('smtp sub-addr-delim "="', "smtp", SmtpSettings(sub_addr_delim="=")),
        ("smtp ciphers HIGH", "smtp", SmtpSettings(ciphers="HIGH")),
        ("srs key a\nsrs key backup b\nsrs ttl 50h", "srs", SrsSettings(key="a", key_backup="b", ttl_days=2)),
    ],
)
def test_values(parse, text: str, field: str, expected: object) -> None:
    config = parse(text)
    assert getattr(config, field) == expected
    named = {
        name: getattr(config, name) for name in ("admd", "mda", "queue", "srs", "smtp", "mta_max_deferred")
    }
    named.pop(field, None)
    assert all(value == getattr(Config(), name) for name, value in named.items())


def test_every_mta_key_sets_its_field(parse) -> None:
    for key, field in KEYS_MTA.items():
        assert getattr(parse(f"mta limit {key} 77").mta_limits["default"], field) == 77
    assert set(KEYS_MTA.values()) | {"family"} == set(MtaLimits.__dataclass_fields__)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('admd "\t"', "not a valid admd"),
        ("bounce warn-interval 1x", "invalid bounce delay: 1x"),
        ('ca ".."', "not a valid domain name: .."),
        ("pki a dhe most", "invalid DHE keyword: most"),
        ("mda wrapper w a\nmda wrapper w b", "mda wrapper already declared with that name: w"),
        ("mda limit max-sesion 3", "invalid mda limit keyword: max-sesion"),
        ("mta limit no-such-key 3", "invalid mta limit keyword: no-such-key"),
        ("proc p a user x user y", "user already specified for this processor"),
        ("queue ttl 1y", "invalid ttl delay: 1y"),
        ("queue encryption x", "invalid key for queue encryption: 1 bytes, 32 are wanted"),
        ("smtp max-message-size -3", "invalid size: -3"),
        ('smtp sub-addr-delim "é"', "subaddressing-delimiter must be one character"),
        ('smtp sub-addr-delim "@"', "sub-addr-delim uses invalid character"),
        ("smtp ciphers NOSUCH", 'no ciphers for "NOSUCH"'),
        ("srs ttl 1h", 'ttl delay "1h" is too short'),
        ("srs ttl h", 'ttl delay "h" is invalid'),
    ],
)
def test_refused(refused, text: str, message: str) -> None:
    (error,) = refused(text)
    assert error.message == message
    assert error.column and error.word


def test_a_later_key_of_the_queue_counts(parse) -> None:
    key = "k" * 32
    assert parse(f"queue encryption short\nqueue encryption {key}").queue.key == key


def test_the_queue_key_is_told_after_faults_of_later_lines(refused) -> None:
    assert [error.line for error in refused("queue encryption short\nlisen")] == [2, 1]


def test_hints(refused) -> None:
    assert "days" in refused("queue ttl 1w")[0].hint
    assert "max-session" in refused("mda limit max-sesion 3")[0].hint
    assert "known are" in refused("mda limit zzz 3")[0].hint
