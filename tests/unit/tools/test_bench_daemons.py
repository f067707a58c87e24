"""The one configuration that both daemons are measured with."""

import bench_daemons
import pytest

from smtpd.config.parse import parse_file


@pytest.mark.parametrize("limits", [bench_daemons.LIMITS, bench_daemons.SMTP_LIMIT])
def test_we_read_it_with_its_limits(tmp_path, limits: str) -> None:
    path = tmp_path / "smtpd.conf"
    path.write_text(
        bench_daemons.CONFIGURATION.format(limits=limits, port=2525, sink=2526, maildir="/x/Maildir")
    )
    config = parse_file(str(path))
    assert set(config.actions) == {"relay", "maildir"}
    assert config.smtp.max_mails == 100_000


def test_a_missing_opensmtpd_is_no_version(monkeypatch) -> None:
    monkeypatch.setattr(bench_daemons.OpenSMTPD, "binary", "/nonexistent/smtpd")
    assert bench_daemons.OpenSMTPD.version() == ""
