"""Header lines around a delivery."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.mail.address import EMPTY, MailAddress
from smtpd.protocol.delivery_headers import delivery_headers, header_of, is_junk, is_loop


def test_headers() -> None:
    rcpt = MailAddress("b", "y")
    assert delivery_headers(MailAddress("a", "x"), rcpt) == b"Return-Path: <a@x>\nDelivered-To: b@y\n"
    assert delivery_headers(EMPTY, rcpt) == b"Delivered-To: b@y\n"
    assert delivery_headers(EMPTY, MailAddress("\udce9", "y")) == b"Delivered-To: \xe9@y\n"


@pytest.mark.parametrize(
    ("head", "header"),
    [
        (b"", b""),
        (b"\nbody", b""),
        (b"A: b\n\nC: d\n", b"A: b\n"),
        (b"A: b\nC: d\n", b"A: b\nC: d\n"),
        (b"A: b\n\n", b"A: b\n"),
    ],
)
def test_header_of(head: bytes, header: bytes) -> None:
    assert header_of(head) == header


@given(st.binary(max_size=30))
def test_header_is_a_beginning(head: bytes) -> None:
    header = header_of(head)
    assert head.startswith(header)
    assert b"\n\n" not in header


def test_loop() -> None:
    header = b"Received: x\nDelivered-To: Ann@Example.org\nDelivered-To: other@x\n"
    assert is_loop(header, "ann@example.ORG")
    assert is_loop(header, "other@x")
    assert not is_loop(header, "nn@example.org")
    assert not is_loop(header, "ann@example")
    assert not is_loop(b"X-Delivered-To: a@b\n", "a@b")
    assert is_loop(b"delivered-to: a@b\r\n", "a@b")


def test_junk() -> None:
    assert is_junk(b"x: y\nX-SPAM: Yes\n")
    assert is_junk(b"X-Spam-Flag: YES\r\n")
    assert not is_junk(b"X-Spam: no\n")
    assert not is_junk(b"X-Spam: yes, really\n")
    assert not is_junk(b"Y-X-Spam: yes\n")
