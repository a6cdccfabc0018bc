"""Numbers as a person reads them: three significant digits, with a unit."""

from __future__ import annotations


def number(value: float | None, unit: str = "") -> str:
    """Three significant digits with the unit: 0.0123, 82 %, 1.4 s, 512 MB; an en dash where nothing was measured.

    >>> number(0.8214, "share"), number(1234.5, "tokens"), number(1, "tokens"), number(2.5e9, "bytes"), number(None)
    ('82.1 %', '1,230 tokens', '1 token', '2.5 GB', '–')
    """
    if value is None:
        return "–"
    if unit == "share":
        return f"{short(value * 100)} %"
    if unit == "seconds":
        return f"{short(value)} s"
    if unit == "bytes":
        scale = min(4, max(0, (len(str(int(abs(value)))) - 1) // 3))
        return f"{short(value / 1000**scale)} {('B', 'kB', 'MB', 'GB', 'TB')[scale]}"
    words = short(value)
    one = unit.replace("tokens", "token").replace("nats", "nat") if words == "1" else unit
    return f"{words} {one}".rstrip()


def short(value: float) -> str:
    """Three significant digits, no exponent between a ten-thousandth and a million.

    >>> short(0.012345), short(1234567.0), short(-2.0), short(0.00000123)
    ('0.0123', '1.23e+06', '-2', '1.23e-06')
    """
    rounded = float(f"{value:.3g}")
    if rounded and not 1e-4 <= abs(rounded) < 1e6:
        return f"{rounded:.3g}"
    return f"{rounded:,.6f}".rstrip("0").rstrip(".")
