"""The declared steps as a user writes them: `prep.fill_null("tenure", 0)`.

Missing is one thing: null and NaN mean the same in raw rows, and a feature says it with NaN. A step passes a missing value on
unless its own words say otherwise. Infinite numbers pass through, and nothing is learned from them. "In place" means that
the result stands under the column's name. Every function raises `Problem("step.invalid")` for wrong arguments; `fit` raises
`Problem("column.missing")` for unknown columns and `Problem("column.invalid")` for those that a step cannot use.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from modelyard.prepare.capture import capture
from modelyard.prepare.steps import declared
from modelyard.prepare.suggest import suggest as suggest  # noqa: PLC0414 - exported: a user writes `prep.suggest`
from modelyard.prepare.types import DeclaredStep, SetStep

Columns = str | Sequence[str]
Part = Literal["year", "month", "day", "day_of_year", "weekday", "hour", "minute", "second"]


def rename(names: Mapping[str, str]) -> DeclaredStep:
    """Give columns new names, old to new.

    >>> from modelyard.prepare import preview
    >>> preview(rename({"dep": "departure"}), dep=[5.0])
    {'departure': [5.0]}
    """
    return declared("rename", tuple(names), to=list(names.values()))


def drop(*columns: str) -> DeclaredStep:
    """Leave columns out from here on.

    >>> from modelyard.prepare import preview
    >>> preview(drop("id"), id=["a", "b"], seats=[55, 20])
    {'seats': [55.0, 20.0]}
    """
    return declared("drop", columns)


def keep(*columns: str) -> DeclaredStep:
    """Leave all but these columns out, and put them in this order: at the end of a pipeline it chooses the features.

    >>> from modelyard.prepare import preview
    >>> preview(keep("b", "a"), a=[1.0], b=[2.0], c=["x"])
    {'b': [2.0], 'a': [1.0]}
    """
    return declared("keep", columns)


def cast(columns: Columns, to: Literal["number", "integer", "boolean", "text", "date", "datetime"]) -> DeclaredStep:
    """Change the kind of columns, in place.

    Text becomes a number, an integer or a boolean (true/false, yes/no, t/f, y/n, 1/0) where it reads as one, else missing.
    A number becomes an integer without its fraction, missing where it leaves 64 bits. A date and its midnight turn into
    one another. A number does not become text: make it an integer, or use `bucket`.

    >>> from modelyard.prepare import preview
    >>> preview(cast("total", "number"), total=["29.85", " 1e3 ", "n/a"])
    {'total': [29.850000381469727, 1000.0, nan]}
    """
    return declared("cast", columns, to=to)


def fill_null(
    columns: Columns,
    value: str | bool | float | None = None,
    *,
    strategy: Literal["mean", "median", "most_frequent"] | None = None,
) -> DeclaredStep:
    """Put a value where one is missing (null or NaN), in place.

    Parameters
    ----------
    columns
        Columns of any kind.
    value
        What to put: of the column's kind; ISO 8601 text for dates and times.
    strategy
        Instead of a value, one learned from the training rows: the mean or median of finite numbers, or the most frequent value
        (of equals the least).

    >>> from modelyard.prepare import preview
    >>> preview(fill_null(["temp", "dewp"], strategy="median"), temp=[1.0, None, 4.0, 9.0], dewp=[2, None, 3, 3])
    {'temp': [1.0, 4.0, 4.0, 9.0], 'dewp': [2.0, 3.0, 3.0, 3.0]}
    """
    return declared("fill_null", columns, value=value, strategy=strategy)


def is_null(*columns: str) -> DeclaredStep:
    """Add `COLUMN_is_null`, 1 where the column is missing (null or NaN), else 0.

    >>> from modelyard.prepare import preview
    >>> preview(is_null("year"), year=[2004, None])
    {'year': [2004.0, nan], 'year_is_null': [0.0, 1.0]}
    """
    return declared("is_null", columns)


def equals(column: str, value: str | bool | float, name: str | None = None) -> DeclaredStep:
    """Add `COLUMN_equals_VALUE` (or `name`), 1 where the column has this value, else 0; a missing value equals nothing.

    >>> from modelyard.prepare import preview
    >>> preview(equals("origin", "JFK"), drop("origin"), origin=["JFK", "LGA", None])
    {'origin_equals_JFK': [1.0, 0.0, 0.0]}
    """
    return declared("equals", column, value=value, name=name)


def clip(columns: Columns, lower: float | None = None, upper: float | None = None) -> DeclaredStep:
    """Bound numbers from below, from above or both, in place; infinite ones too.

    >>> from modelyard.prepare import preview
    >>> preview(clip("wind", 0, 60), wind=[1048.0, -1.0, None])
    {'wind': [60.0, 0.0, nan]}
    """
    return declared("clip", columns, lower=lower, upper=upper)


def clamp_outliers(
    *columns: str, method: Literal["iqr", "quantile"] = "iqr", factor: float = 1.5, share: float = 0.01
) -> DeclaredStep:
    """Bound numbers by what the training rows learned is usual, in place; infinite ones too.

    Parameters
    ----------
    columns
        Columns of numbers.
    method
        `iqr`: up to `factor` times the distance of the quartiles beyond them; a column whose quartiles are equal has no bounds.
        `quantile`: between the quantiles `share` and 1 - `share`.
    factor
        For `iqr`. 1.5 is Tukey's fence, 3 his outer one. Tukey 1977.
    share
        For `quantile`, from 0 to 0.5.

    >>> from modelyard.prepare import preview
    >>> preview(clamp_outliers("fare"), fare=[1.0, 2.0, 3.0, 4.0, 1000.0])
    {'fare': [1.0, 2.0, 3.0, 4.0, 7.0]}
    """
    return declared("clamp_outliers", columns, method=method, factor=factor, share=share)


def quantile_rank(*columns: str, count: int = 1000) -> DeclaredStep:
    """Put a number's rank among the training rows, from 0 to 1, in place: whatever the distribution, it becomes even.

    Between learned quantiles ranks lie on a line; equal quantiles have the middle of their ranks. Below the least number it is
    0, above the greatest 1.

    Parameters
    ----------
    columns
        Columns of numbers.
    count
        How many quantiles to keep, from 2 to 10,000; no more than there are training rows.

    >>> from modelyard.prepare import preview
    >>> preview(quantile_rank("x"), x=[10.0, 20.0, 1000.0, 20.0, None])
    {'x': [0.0, 0.5, 1.0, 0.5, nan]}
    """
    return declared("quantile_rank", columns, count=count)


def standardise(*columns: str) -> DeclaredStep:
    """Take the training rows' mean from numbers and divide by their standard deviation (of the population), in place.

    A column that does not vary becomes 0.

    >>> from modelyard.prepare import preview
    >>> preview(standardise("x"), x=[1.0, 3.0, None])
    {'x': [-1.0, 1.0, nan]}
    """
    return declared("standardise", columns)


def min_max(*columns: str) -> DeclaredStep:
    """Map the training rows' least and greatest number to 0 and 1, in place; others may lie outside.

    >>> from modelyard.prepare import preview
    >>> preview(min_max("x"), x=[1.0, 3.0, 2.0])
    {'x': [0.0, 1.0, 0.5]}
    """
    return declared("min_max", columns)


def robust_scale(*columns: str) -> DeclaredStep:
    """Take the training rows' median from numbers and divide by their distance of quartiles, in place: outliers weigh little.

    >>> from modelyard.prepare import preview
    >>> preview(robust_scale("x"), x=[1.0, 2.0, 3.0, 4.0, 1000.0])
    {'x': [-1.0, -0.5, 0.0, 0.5, 498.5]}
    """
    return declared("robust_scale", columns)


def absolute(*columns: str) -> DeclaredStep:
    """Leave the sign of numbers out, in place: how far, not which way.

    >>> from modelyard.prepare import preview
    >>> preview(absolute("x"), x=[-3.0, 2.0])
    {'x': [3.0, 2.0]}
    """
    return declared("absolute", columns)


def sign_log(*columns: str) -> DeclaredStep:
    """Take sign(x) * log(1 + |x|) of numbers, in place: `log1p` for amounts that go below 0 too.

    >>> from modelyard.prepare import preview
    >>> preview(sign_log("x"), x=[0.0, 1.0, -1.0])
    {'x': [0.0, 0.6931471824645996, -0.6931471824645996]}
    """
    return declared("sign_log", columns)


def log1p(*columns: str) -> DeclaredStep:
    """Take log(1 + x) of numbers, in place: missing below -1, -inf at -1.

    >>> from modelyard.prepare import preview
    >>> preview(log1p("x"), x=[0.0, -2.0])
    {'x': [0.0, nan]}
    """
    return declared("log1p", columns)


def sqrt(*columns: str) -> DeclaredStep:
    """Take the square root of numbers, in place: missing below 0.

    >>> from modelyard.prepare import preview
    >>> preview(sqrt("x"), x=[9.0, -9.0])
    {'x': [3.0, nan]}
    """
    return declared("sqrt", columns)


def convert(columns: Columns, from_: str, to: str) -> DeclaredStep:
    """Turn numbers from one unit into another of the same quantity, in place, by exact factors.

    Parameters
    ----------
    columns
        Columns of numbers.
    from_, to
        Length: `mm cm m km inch ft yd mi nmi`. Mass: `mg g kg t oz lb st`. Temperature: `C F K`. Speed: `m/s km/h mph kn
        ft/s`. Volume: `ml cl l m3 floz pt qt gal` (of the United States) `gal_uk ft3`. Time: `us ms s min h d week year` (of
        365.25 days). Pressure: `Pa hPa kPa mbar bar atm torr mmHg inHg psi`.

    >>> from modelyard.prepare import preview
    >>> preview(convert("temp", "F", "C"), convert("wind", "mph", "m/s"), temp=[212.0, 32.0], wind=[100.0, None])
    {'temp': [100.0, 0.0], 'wind': [44.70399856567383, nan]}
    """
    return declared("convert", columns, **{"from": from_, "to": to})


def ratio(numerator: str, denominator: str, name: str | None = None) -> DeclaredStep:
    """Add `NUMERATOR_per_DENOMINATOR` (or `name`): the quotient of two columns, missing where the denominator is 0.

    >>> from modelyard.prepare import preview
    >>> preview(ratio("total", "tenure"), keep("total_per_tenure"), total=[840.0, 1.0], tenure=[12, 0])
    {'total_per_tenure': [70.0, nan]}
    """
    return declared("ratio", (numerator, denominator), name=name)


def difference(left: str, right: str, name: str | None = None) -> DeclaredStep:
    """Add `LEFT_minus_RIGHT` (or `name`).

    >>> from modelyard.prepare import preview
    >>> preview(difference("temp", "dewp"), keep("temp_minus_dewp"), temp=[39.0], dewp=[26.0])
    {'temp_minus_dewp': [13.0]}
    """
    return declared("difference", (left, right), name=name)


def product(left: str, right: str, name: str | None = None) -> DeclaredStep:
    """Add `LEFT_times_RIGHT` (or `name`).

    >>> from modelyard.prepare import preview
    >>> preview(product("a", "b", name="area"), keep("area"), a=[3.0], b=[4.0])
    {'area': [12.0]}
    """
    return declared("product", (left, right), name=name)


def total(*columns: str, name: str | None = None) -> DeclaredStep:
    """Add the sum of two or more columns as `A_plus_B…` (or `name`), missing where one of them is.

    >>> from modelyard.prepare import preview
    >>> preview(total("a", "b", "c", name="all"), keep("all"), a=[1, 1], b=[2, None], c=[3, 3])
    {'all': [6.0, nan]}
    """
    return declared("total", columns, name=name)


def bucket(columns: Columns, edges: Sequence[float] | None = None, *, count: int | None = None) -> DeclaredStep:
    """Put the number of the bucket that a number falls in, in place: how many edges it has reached.

    Parameters
    ----------
    columns
        Columns of numbers.
    edges
        The rising edges between buckets.
    count
        Instead of edges, into how many buckets of about as many training rows; equal quantiles give fewer.

    >>> from modelyard.prepare import preview
    >>> preview(bucket("hour", [6, 12, 18]), hour=[5, 6, 23, None])
    {'hour': [0.0, 1.0, 3.0, nan]}
    """
    return declared("bucket", columns, edges=None if edges is None else list(edges), count=count)


def cyclical(columns: Columns, period: float, *, drop: bool = True) -> DeclaredStep:
    """Add `COLUMN_sin` and `COLUMN_cos` of a number that comes round again after `period`, so that 23 h lies near 0 h.

    The column itself is left out, unless `drop=False`.

    >>> from modelyard.prepare import preview
    >>> preview(cyclical("hour", 24), hour=[0, 6])
    {'hour_sin': [0.0, 1.0], 'hour_cos': [1.0, 6.123234262925839e-17]}
    """
    return declared("cyclical", columns, period=period, drop=drop)


def one_hot(*columns: str, limit: int = 50, min_count: int = 1) -> DeclaredStep:
    """Turn a category into columns `COLUMN_CATEGORY`, 1 where it has that category, else 0.

    Missing and unseen categories are 0 in all of them. Categories stand in their order.

    Parameters
    ----------
    columns
        Columns of text, integers or booleans.
    limit
        The most categories a column; the most frequent of the training rows are taken.
    min_count
        The least training rows for a category.

    >>> from modelyard.prepare import preview
    >>> preview(one_hot("payment"), payment=["card", "cash", None])
    {'payment_card': [1.0, 0.0, 0.0], 'payment_cash': [0.0, 1.0, 0.0]}
    """
    return declared("one_hot", columns, limit=limit, min_count=min_count)


def ordinal(*columns: str) -> DeclaredStep:
    """Put a category's rank by frequency in the training rows, in place: 0 is the most frequent, -1 one that was not seen.

    >>> from modelyard.prepare import preview
    >>> preview(ordinal("carrier"), carrier=["UA", "B6", "UA", None])
    {'carrier': [0.0, 1.0, 0.0, nan]}
    """
    return declared("ordinal", columns)


def frequency(*columns: str) -> DeclaredStep:
    """Put a category's share of the training rows, in place; missing is a category here, an unseen one has 0.

    >>> from modelyard.prepare import preview
    >>> preview(frequency("carrier"), carrier=["UA", "B6", "UA", None])
    {'carrier': [0.5, 0.25, 0.5, 0.25]}
    """
    return declared("frequency", columns)


def target_mean(*columns: str, smoothing: float = 20.0) -> DeclaredStep:
    """Put the mean of the label over a category's training rows, in place.

    It is drawn to the mean of all: (sum of labels + smoothing * mean of all) / (rows + smoothing). Missing is a category
    here, an unseen one has the mean of all. A row's own label is in its mean, so few rows a category want much smoothing.
    The label is a number, a boolean or one of two words. Micci-Barreca 2001.

    >>> from modelyard.prepare import preview
    >>> preview(target_mean("c", smoothing=1), label="y", c=["a", "a", "b"], y=[1, 1, 1])
    {'c': [1.0, 1.0, 1.0]}
    """
    return declared("target_mean", columns, smoothing=smoothing)


def hash_bucket(columns: Columns, count: int) -> DeclaredStep:
    """Put a category's hash (CRC-32 of its UTF-8 text, modulo `count`), in place: for many or growing categories.

    >>> from modelyard.prepare import preview
    >>> preview(hash_bucket("tailnum", 100), tailnum=["N14228", None])
    {'tailnum': [66.0, nan]}
    """
    return declared("hash_bucket", columns, count=count)


def cross(left: str, right: str, name: str | None = None) -> DeclaredStep:
    r"""Add `LEFT_x_RIGHT` (or `name`), the category of two categories together, to be encoded after; missing where one is.

    It is the text `left|right`; a `|` or a backslash in a category gets a backslash before it, so that no two pairs are one.

    >>> from modelyard.prepare import preview
    >>> steps = cross("day", "open"), one_hot("day_x_open"), drop("day", "open")
    >>> preview(*steps, day=["sat", "sun", None], open=[True, False, True])
    {'day_x_open_sat|true': [1.0, 0.0, 0.0], 'day_x_open_sun|false': [0.0, 1.0, 0.0]}
    """
    return declared("cross", (left, right), name=name)


def lower(*columns: str) -> DeclaredStep:
    """Put text in lower case, in place (Unicode, as Python does).

    >>> from modelyard.prepare import preview
    >>> preview(lower("city"), one_hot("city"), city=["Köln", "KÖLN"])
    {'city_köln': [1.0, 1.0]}
    """
    return declared("lower", columns)


def strip(*columns: str) -> DeclaredStep:
    """Take white space off both ends of text, in place.

    >>> from modelyard.prepare import preview
    >>> preview(strip("city"), length("city"), city=[" Ulm ", ""])
    {'city': [3.0, 0.0]}
    """
    return declared("strip", columns)


def length(*columns: str) -> DeclaredStep:
    """Put the number of characters (code points) of text, in place.

    >>> from modelyard.prepare import preview
    >>> preview(length("name"), name=["Åse", None])
    {'name': [3.0, nan]}
    """
    return declared("length", columns)


def normalise_text(*columns: str, case: bool = True, accents: bool = True, spaces: bool = True) -> DeclaredStep:
    r"""Give texts that say the same one form, in place: Unicode's NFKC, in which "ﬁ" is "fi" and "①" is "1".

    Parameters
    ----------
    columns
        Columns of text.
    case
        Leave case out (Unicode's case folding: "Straße" is "strasse").
    accents
        Leave accents out.
    spaces
        Make each run of white space one blank, and take it off both ends.

    >>> from modelyard.prepare import preview
    >>> preview(normalise_text("city"), one_hot("city"), city=["São  Paulo", " SAO PAULO\n"])
    {'city_sao paulo': [1.0, 1.0]}
    """
    return declared("normalise_text", columns, case=case, accents=accents, spaces=spaces)


def extract(column: str, pattern: str, name: str | None = None, *, group: int | str = 1) -> DeclaredStep:
    r"""Add `COLUMN_extracted` (or `COLUMN_GROUP` of a named group, or `name`): the part of a text that a pattern finds first.

    Missing where the pattern finds nothing, or the group took no part.

    Parameters
    ----------
    column
        A column of text.
    pattern
        A regular expression as Python's `re` reads it, in every door: `\d` and `\w` take digits and letters of all scripts,
        `(?a)` before it those of ASCII, `(?i)` any case. A repeat of a repeat, such as `(a+)+b`, can take very long on a text.
    name
        Of the new column.
    group
        The number or name of the group, 0 for all that the pattern finds.

    >>> from modelyard.prepare import preview
    >>> steps = extract("name", r", (\w+)\."), one_hot("name_extracted"), drop("name")
    >>> preview(*steps, name=["Braund, Mr. Owen", "Heikkinen, Miss. Laina", "?"])
    {'name_extracted_Miss': [0.0, 1.0, 0.0], 'name_extracted_Mr': [1.0, 0.0, 0.0]}
    """
    return declared("extract", column, pattern=pattern, name=name, group=group)


def contains(column: str, pattern: str, name: str | None = None) -> DeclaredStep:
    """Add `COLUMN_contains_PATTERN` (or `name`), 1 where a pattern (see `extract`) finds something, else 0.

    A missing text contains nothing.

    >>> from modelyard.prepare import preview
    >>> preview(contains("title", "(?i)senior|lead", "senior"), drop("title"), title=["Senior Engineer", "Analyst", None])
    {'senior': [1.0, 0.0, 0.0]}
    """
    return declared("contains", column, pattern=pattern, name=name)


def parse_number(
    columns: Columns,
    *,
    decimal: Literal[".", ","] = ".",
    thousands: str | None = None,
    units: Mapping[str, float] | None = None,
) -> DeclaredStep:
    """Read numbers as people write them from text, in place: "$1,234.50", "(12.5)" for -12.5, "5.2 k"; else missing.

    Currencies, by sign or name, and a word before the number are passed over.

    Parameters
    ----------
    columns
        Columns of text.
    decimal
        The mark before the fraction.
    thousands
        The mark between thousands; None for any of `,` `.` `'` and white space that is not `decimal`, "" for none.
    units
        What a word behind the number multiplies it by: `{"k": 1e3, "%": 0.01}`; with another word the value is missing. None:
        no word is known but the one that all training rows have behind their numbers, which then counts for nothing. `fit`
        refuses rows of several, such as "900" and "5.2 k".

    >>> from modelyard.prepare import preview
    >>> preview(parse_number("price"), price=["$1,234.50", "EUR 7", "(12.5)", "1,5", "free"])
    {'price': [1234.5, 7.0, -12.5, nan, nan]}
    >>> preview(parse_number("size", decimal=",", units={"GB": 1e9, "MB": 1e6}), size=["1,5 GB", "20MB", "7"])
    {'size': [1500000000.0, 20000000.0, 7.0]}
    """
    told = None if units is None else dict(units)
    return declared("parse_number", columns, decimal=decimal, thousands=thousands, units=told)


def parse_date(
    columns: Columns,
    format: str | Sequence[str | None] | None = None,
    *,
    to: Literal["date", "datetime"] = "datetime",
    zone: str | None = None,
) -> DeclaredStep:
    """Read dates or times from text, in place; text that does not read is missing.

    Parameters
    ----------
    columns
        Columns of text.
    format
        `%Y %m %d %H %M %S %f` with any text between, or None for ISO 8601 (an offset is taken off: the time is then in UTC).
        Of several formats the first that reads a text counts.
    to
        Whether to keep the time of day.
    zone
        The time zone in which a text without an offset is meant, such as `Europe/Berlin`; the times are then instants, kept in
        UTC, and `date_parts` reads them on that zone's clock unless it is told another. A time that comes twice as the
        clock goes back is the first of both; one that the clock leaps over is read by the offset before the leap. The zone's
        offsets from 1900 to 2100 are kept in the fitted pipeline.

    >>> from modelyard.prepare import preview
    >>> preview(parse_date("on", "%d.%m.%Y"), date_parts("on", "month"), on=["24.6.2013", "?"])
    {'on_month': [6.0, nan]}
    >>> at = ["2013-06-24T05:00:00Z", "24.6.2013 5:00"]
    >>> step = parse_date("at", [None, "%d.%m.%Y %H:%M"], zone="America/New_York")
    >>> preview(step, date_parts("at", "hour", zone="UTC"), at=at), preview(step, date_parts("at", "hour"), at=at)
    ({'at_hour': [5.0, 9.0]}, {'at_hour': [1.0, 5.0]})
    """
    form = format if format is None or isinstance(format, str) else list(format)
    return declared("parse_date", columns, format=form, to=to, zone=zone)


def date_parts(columns: Columns, *parts: Part, zone: str | None = None, drop: bool = True) -> DeclaredStep:
    """Add parts of a date or time as numbers, `COLUMN_PART`, and leave the column itself out, unless `drop=False`.

    Parameters
    ----------
    columns
        Columns of dates or times.
    parts
        `year`, `month`, `day`, `day_of_year` (from 1), `weekday` (Monday is 1), `hour`, `minute`, `second`.
    zone
        The time zone of the clock to read, such as `America/New_York`; else the zone that the column was stored in. Its
        offsets from 1900 to 2100 are kept in the fitted pipeline.

    >>> from datetime import UTC, datetime
    >>> from modelyard.prepare import preview
    >>> at = [datetime(2013, 6, 24, 3, 30, tzinfo=UTC)]
    >>> preview(date_parts("at", "hour", "weekday", zone="America/New_York"), at=at)
    {'at_hour': [23.0], 'at_weekday': [7.0]}
    """
    return declared("date_parts", columns, parts=list(parts), zone=zone, drop=drop)


def elapsed(
    later: str, earlier: str, unit: Literal["seconds", "minutes", "hours", "days", "years"] = "hours", name: str | None = None
) -> DeclaredStep:
    """Add the time between two dates or times as `LATER_since_EARLIER_UNIT` (or `name`); a year has 365.25 days.

    >>> from datetime import date, datetime
    >>> from modelyard.prepare import preview
    >>> preview(elapsed("at", "on"), keep("at_since_on_hours"), at=[datetime(2013, 1, 2, 6)], on=[date(2013, 1, 1)])
    {'at_since_on_hours': [30.0]}
    """
    return declared("elapsed", (later, earlier), unit=unit, name=name)


def sql(query: str, **inputs: str) -> SetStep:
    """Make the set of rows that a query answers with, over `rows` and further datasets: `sql("SELECT …", weather="weather@3")`.

    It is asked as it is written: of DuckDB, or of Spark where the pipeline runs there. Such a step stands first in a pipeline,
    which then makes stored sets by `pipeline.run` and cannot be a trainer's: one row alone has no set to ask.

    >>> sql("SELECT DISTINCT origin, dest FROM rows").inputs
    {}
    """
    return SetStep(query, inputs)


def over_set(function: Callable[..., Any], **inputs: str) -> SetStep:
    """Make the set of rows that a function gives: `over_set(latest, weather="weather@3")`.

    The function takes the rows and the further datasets, by name, as Polars LazyFrames, and returns one. For the rest as `sql`.
    """
    return SetStep(capture(function), inputs)
