from smtpd.tables.service import KEY_MAX, SERVICES, TemporaryFailure, key_fault


def test_services() -> None:
    assert len(set(SERVICES)) == 13


def test_key_fault() -> None:
    assert key_fault("") is None
    assert key_fault("k" * KEY_MAX) is None
    assert key_fault("é" * (KEY_MAX // 2)) is None
    for key in ("k" * (KEY_MAX + 1), "é" * 512, "\udcff" * (KEY_MAX + 1)):
        fault = key_fault(key)
        assert isinstance(fault, TemporaryFailure)
        assert "too long" in fault.reason
