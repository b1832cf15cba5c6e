"""How values are told on pages and in the report: numbers with units, rounded to what is known; times in UTC."""

from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

from markupsafe import Markup, escape

NOTHING = "—"
MINUS = "\N{MINUS SIGN}"
_DAY_S = 86_400
_DECIMALS = 3
_SMALL = 0.001
_LARGE = 1000


def count(number: float | None) -> str:
    r"""Return a whole number with thousands parted by thin spaces.

    >>> count(1234567)
    '1\u202f234\u202f567'
    """
    return NOTHING if number is None else f"{number:,.0f}".replace(",", "\u202f")


def figure(number: float | None) -> str:
    r"""Return a measured number with three decimals below one, and with four digits above.

    >>> figure(0.49812), figure(13.5052), figure(480.0), figure(0.00004)
    ('0.498', '13.51', '480', '4e-05')
    """
    if number is None or not isfinite(number):
        return NOTHING
    size = abs(number)
    if size >= _LARGE:
        text = count(size)
    elif not size:
        text = "0"
    elif size < _SMALL:
        text = f"{size:.1g}"
    else:
        text = f"{size:.4g}" if size >= 1 else f"{size:.{_DECIMALS}f}"
    return f"{MINUS}{text}" if number < 0 and float(text.replace("\u202f", "")) else text


def change(number: float) -> str:
    """Return a difference, always with its sign.

    >>> change(0.0123), change(0.5)
    ('+0.012', '+0.500')
    """
    return figure(number) if number < 0 else f"+{figure(number)}"


def share(part: float | None) -> str:
    """Return a share as per cent.

    >>> share(0.1234), share(0.5)
    ('12.3 %', '50 %')
    """
    return NOTHING if part is None else f"{100 * part:.1f}".removesuffix(".0") + " %"


def size(octets: float) -> str:
    """Return a size in bytes with the unit that keeps it short.

    >>> size(900), size(2_500_000)
    ('900 B', '2.4 MiB')
    """
    for unit in ("B", "KiB", "MiB"):
        if octets < 1024:  # noqa: PLR2004 - the next unit
            return f"{octets:.0f} {unit}" if unit == "B" else f"{octets:.1f} {unit}"
        octets /= 1024
    return f"{octets:.1f} GiB"


def latency(microseconds: float | None) -> str:
    """Return a short time.

    >>> latency(412), latency(7100), latency(2_500_000)
    ('412 µs', '7.1 ms', '2.5 s')
    """
    if microseconds is None:
        return NOTHING
    if microseconds < _LARGE:
        return f"{microseconds:.0f} µs"
    if microseconds < _LARGE * _LARGE:
        return f"{microseconds / _LARGE:.1f} ms"
    return f"{microseconds / _LARGE / _LARGE:.1f} s"


def span(length: timedelta | float) -> str:
    """Return how long something took or lasts, in its two largest units.

    >>> span(75), span(3 * 86_400 + 7200), span(0.25)
    ('1 min 15 s', '3 d 2 h', '0.2 s')
    """
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    if seconds < 10:  # noqa: PLR2004 - tenths tell something only under ten seconds
        return f"{seconds:.1f} s".replace(".0 s", " s")
    rest, parts = round(seconds), []
    for unit, length_s in (("d", _DAY_S), ("h", 3600), ("min", 60), ("s", 1)):
        amount, rest = divmod(rest, length_s)
        if amount:
            parts.append(f"{amount} {unit}")
    return " ".join(parts[:2])


def moment(at: datetime, now: datetime) -> str:
    """Return a time as briefly as `now` allows.

    >>> now = datetime(2013, 6, 24, 12, tzinfo=UTC)
    >>> [moment(now - timedelta(hours=h), now) for h in (2, 30, 24 * 300)]
    ['10:00', '23 Jun 06:00', '28 Aug 2012']
    """
    at, now = at.astimezone(UTC), now.astimezone(UTC)
    if at.date() == now.date():
        return f"{at:%H:%M}"
    if at.year == now.year:
        return f"{at.day} {at:%b %H:%M}"
    return f"{at.day} {at:%b %Y}"


def exact(at: datetime) -> str:
    """Return a time in full, with its zone."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def time_tag(at: datetime | None, now: datetime) -> Markup:
    """Return a `<time>` that shows the brief form and says the full one on hover."""
    if at is None:
        return escape(NOTHING)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(at.isoformat(), exact(at), moment(at, now))


def value(of: Any) -> str:
    """Return a parameter or a cell as text, cut to a line."""
    if isinstance(of, float):
        return f"{of:.4g}"
    text = "null" if of is None else str(of)
    return text if len(text) <= 80 else f"{text[:79]}…"  # noqa: PLR2004 - a table's cell


def words(text: str) -> str:
    """Return an identifier of ours as words: `roll_back` → `roll back`."""
    return text.replace("_", " ")


def short_digest(digest: str | None) -> str:
    """Return the first characters of a digest, enough to tell two apart."""
    return NOTHING if digest is None else digest.removeprefix("sha256:")[:12]


def code(text: str) -> Markup:
    """Return a text with its `back-ticked` parts as code, all of it escaped."""
    parts = text.split("`")
    return Markup("").join(Markup("<code>{}</code>").format(part) if n % 2 else escape(part) for n, part in enumerate(parts))


def dtype(told: str) -> str:
    """Return the name of a Polars type, shortened.

    >>> dtype("Datetime(time_unit='us', time_zone='UTC')"), dtype("Float64")
    ('Datetime[us, UTC]', 'Float64')
    """
    name, _, inside = told.partition("(")
    if not inside:
        return told
    parts = [part.partition("=")[2].strip(" '\")") for part in inside.split(",")]
    return f"{name}[{', '.join(part for part in parts if part and part != 'None')}]"
