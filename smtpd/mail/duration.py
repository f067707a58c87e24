"""Time spans in log lines."""


def duration(seconds: int) -> str:
    """As OpenSMTPD writes a time span: "1d2h3m4s" without the parts that are 0, and "0s"."""
    if seconds == 0:
        return "0s"
    sign, left = ("-", -seconds) if seconds < 0 else ("", seconds)
    minutes, s = divmod(left, 60)
    hours, m = divmod(minutes, 60)
    d, h = divmod(hours, 24)
    return sign + "".join(
        f"{count}{unit}" for count, unit in ((d, "d"), (h, "h"), (m, "m"), (s, "s")) if count
    )
