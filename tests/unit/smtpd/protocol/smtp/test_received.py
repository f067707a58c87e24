"""The Received field, as OpenSMTPD writes it."""

from smtpd.protocol.smtp.received import received

COMMON = {
    "helo": "client.example",
    "host": "<unknown>",
    "address": "[192.0.2.1]",
    "hostname": "mx.example",
    "software": "us",
    "protocol": "ESMTP",
    "msgid": 0x2A,
    "date": "Fri, 1 Mar 2024 08:05:09 +0100 (CET)",
}


def test_one_recipient() -> None:
    assert received(**COMMON, recipient="a@b.example") == (  # type: ignore[arg-type]
        b"Received: from client.example (<unknown> [192.0.2.1])\n"
        b"\tby mx.example (us) with ESMTP id 0000002a\n"
        b"\tfor <a@b.example>;\n"
        b"\tFri, 1 Mar 2024 08:05:09 +0100 (CET)\n"
    )


def test_several_recipients() -> None:
    assert received(**COMMON) == (  # type: ignore[arg-type]
        b"Received: from client.example (<unknown> [192.0.2.1])\n"
        b"\tby mx.example (us) with ESMTP id 0000002a;\n"
        b"\tFri, 1 Mar 2024 08:05:09 +0100 (CET)\n"
    )


def test_masked() -> None:
    assert received(**COMMON, mask_source=True).splitlines()[0] == b"Received: "  # type: ignore[arg-type]
