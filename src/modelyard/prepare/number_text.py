"""Numbers as people write them: signs of currencies, thousands in groups, accounting brackets, a unit behind."""

import re
import unicodedata
from functools import cache
from typing import Final, NamedTuple

_MARKS: Final = ",.'\u2019"  # that part thousands, besides white space
_MINUS: Final = "\u2212"
_BEFORE: Final = re.compile(rf"([-+{_MINUS}(]?)((?:[^\W\d_]+\.?)?)([-+{_MINUS}(]?)")
_NAMES: Final = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP
    CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD
    IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR
    MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP
    SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XOF XPF
    YER ZAR ZMW ZWG dollar dollars euro euros franc francs pound pounds rupee rupees yen yuan Fr. Kč Rs Rs. kr kr. lei zł ₽
"""
_TOUCHING: Final = re.compile(rf"[^\W\d_]\.?[-+{_MINUS}(]?$")
_CURRENCIES: Final = frozenset(_NAMES.split())


class WrittenNumber(NamedTuple):
    """What a text says: a number, the word behind it and the one before it, "" where there is none but a currency."""

    number: float
    word: str
    before: str


def written_number(text: str, decimal: str = ".", thousands: str | None = None) -> WrittenNumber | None:
    """Return the number that a text is, with the words beside it; None where it is no number.

    Currencies, by sign or name, are passed over. Brackets round the number make it negative, as accountants write. A word that
    touches the number from before makes it a code, as in "N14228" and "AB-12".

    Parameters
    ----------
    decimal
        The mark before the fraction: `.` or `,`.
    thousands
        The mark between thousands; None for any of `,` `.` `'` and white space that is not `decimal`, "" for none. Groups have
        three digits; those before the last may have two, as in India.

    >>> written_number("$1,234.50"), written_number("about (12.5) k"), written_number("1,5")
    (WrittenNumber(number=1234.5, word='', before=''), WrittenNumber(number=-12.5, word='k', before='about'), None)
    """
    found = _pattern(decimal, thousands).fullmatch(text)
    beside = None if found is None else _beside(found["before"], found["after"])
    if found is None or beside is None:
        return None
    is_negative, before, after = beside
    whole = re.sub(rf"[{_MARKS}\s]", "", found["whole"] or "0")
    number = float(f"{whole}.{found['fraction'] or found['only'] or 0}{found['power'] or ''}")
    return WrittenNumber(-number if is_negative else number, after, before)


def _beside(before: str, after: str) -> tuple[bool, str, str] | None:
    """Return whether what stands beside a number makes it negative, and the words there; None where it makes it none."""
    found = _BEFORE.fullmatch(_bare(before, keep=""))
    if found is None or (found[1] and found[3]):
        return None
    sign, word = found[1] or found[3], "" if found[2] in _CURRENCIES else found[2]
    is_code = word != "" and _TOUCHING.search(before)
    if is_code or (sign == "(" and ")" not in after):
        return None
    behind = _bare(after.replace(")", "", 1) if sign == "(" else after, keep=" ").strip()
    return sign in {"-", "(", _MINUS}, word, "" if behind in _CURRENCIES else behind


def _bare(text: str, keep: str) -> str:
    """Return a text without signs of currencies, and with white space as `keep`."""
    return "".join(keep if sign.isspace() else sign for sign in text if unicodedata.category(sign) != "Sc")


@cache
def _pattern(decimal: str, thousands: str | None) -> re.Pattern[str]:
    point = re.escape(decimal)
    marks = _MARKS.replace(decimal, "") + r"\s" if thousands is None else re.escape(thousands)
    groups = rf"[0-9]{{1,3}}(?P<mark>[{marks}])(?:[0-9]{{2,3}}(?P=mark))*[0-9]{{3}}|" if marks else ""
    # A point after a letter ends the word, as in "Rs.12".
    number = rf"(?P<whole>{groups}[0-9]+)(?:{point}(?P<fraction>[0-9]*))?|(?<![^\W\d_]){point}(?P<only>[0-9]+)"
    return re.compile(rf"(?P<before>\D*?)(?:{number})(?P<power>[eE][+-]?[0-9]+)?(?P<after>\D*)")
