import pytest

from smtpd.config.tls import cipher_string, parse_protocols, unknown_protocol


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "23"),
        ("tlsv1.2", "2"),
        ("TLSv1.3", "3"),
        ("tlsv1.0,tlsv1.1", "01"),
        ("tlsv1.2:tlsv1.3", "23"),
        ("all", "23"),
        ("tlsv1", "23"),
        ("!tlsv1.2", "3"),
        ("tlsv1.1, all,!tlsv1.3", "12"),
        ("!tlsv1.2:!tlsv1.3", ""),
        ("tlsv1.2 ", ""),
        ("sslv3", ""),
    ],
)
def test_protocols(text: str, expected: str) -> None:
    assert parse_protocols(text) == {f"tlsv1.{digit}" for digit in expected}


def test_unknown_protocol() -> None:
    assert unknown_protocol("tlsv1.2,!secure:legacy") == ""
    assert unknown_protocol("tlsv1.2,!tlsv1.5") == "!tlsv1.5"
    assert unknown_protocol(",") == ","


def test_ciphers() -> None:
    assert cipher_string("") == cipher_string("Secure") == "HIGH:!aNULL"
    assert cipher_string("legacy") == "HIGH:MEDIUM:!aNULL"
    assert cipher_string("ECDHE+AESGCM") == "ECDHE+AESGCM"
