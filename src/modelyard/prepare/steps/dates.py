"""Steps on dates and times: parse them from text, take their parts on a zone's wall clock, measure spans."""

from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final
from zoneinfo import ZoneInfo

from modelyard.core import JsonObject, Problem
from modelyard.prepare.expressions import Column, DatePart, Elapsed, Expression, Localise, MidnightOf, PerValue
from modelyard.prepare.per_value import date_format
from modelyard.prepare.scope import Scope
from modelyard.prepare.steps.definition import Definition, Parameter, Training, invalid, one_of, told
from modelyard.prepare.types import DeclaredStep
from modelyard.prepare.values import TEMPORAL, ValueKind

DAY_PARTS: Final = ("year", "month", "day", "day_of_year", "weekday")
TIME_PARTS: Final = ("hour", "minute", "second")
UNITS_US: Final = MappingProxyType(
    {"seconds": 1_000_000, "minutes": 60_000_000, "hours": 3_600_000_000, "days": 86_400_000_000, "years": 31_557_600_000_000}
)
_FIRST_YEAR: Final = 1900
_LAST_YEAR: Final = 2100
_STEP: Final = timedelta(days=7)  # no zone has changed its clock twice within a week and back


def _formats(step: DeclaredStep) -> list[Any]:
    form = step.params["format"]
    return form if isinstance(form, list) else [form]


def _parse_date_check(step: DeclaredStep) -> str | None:
    for form in _formats(step):
        if form is not None and not isinstance(form, str):
            return f"a format is text, or None for ISO 8601, and not {form!r}"
        if form is not None:
            date_format(form)
    if not _formats(step):
        return "it needs a format, or None for ISO 8601"
    if step.params["zone"] is not None and step.params["to"] == "date":
        return "a date has no zone; take parts of the datetime"
    return None


def _parsed(step: DeclaredStep, column: Column, offsets: JsonObject | None) -> Expression:
    to = ValueKind(step.params["to"])
    table = None if offsets is None else (tuple(offsets["at"]), tuple(offsets["offsets"]))
    return PerValue(f"parse_{to.value}", column, to, (tuple(_formats(step)), table), step.params["zone"])


def _parse_date_learn(step: DeclaredStep, training: Training) -> JsonObject:
    """Learn the offsets of the zone alone, but refuse formats that read none of the training rows."""
    offsets = None if step.params["zone"] is None else _transitions(step, step.params["zone"])
    for name in step.columns:
        column = training.scope.column(name, {ValueKind.TEXT}, told(step))
        texts = training.values(column).drop_nulls()
        if len(texts) and training.values(_parsed(step, column, offsets)).null_count() == training.frame.height:
            form = " or ".join(form or "ISO 8601" for form in _formats(step))
            raise Problem(
                "column.invalid",
                f"{told(step)} can read no value of column '{name}'",
                f"'{texts[0]}' is not in the form {form}",
                f"prep.parse_date('{name}', '%d.%m.%Y'), with the form that the column has",
                {"column": name, "value": texts[0]},
            )
    return {} if offsets is None else {"zone": offsets}


def _parse_date(step: DeclaredStep, scope: Scope) -> None:
    offsets = (step.fitted or {}).get("zone")
    for name in step.columns:
        scope.set(name, _parsed(step, scope.column(name, {ValueKind.TEXT}, told(step)), offsets))


def _zone(step: DeclaredStep, column: Column) -> str | None:
    zone = step.params["zone"] or column.zone
    return None if column.kind is ValueKind.DATE or zone == "UTC" else zone


def _date_parts_learn(step: DeclaredStep, training: Training) -> JsonObject:
    columns = (training.scope.column(name, TEMPORAL, told(step)) for name in step.columns)
    zones = {zone for column in columns if (zone := _zone(step, column)) is not None}
    return {"zones": {zone: _transitions(step, zone) for zone in sorted(zones)}}


def _transitions(step: DeclaredStep, name: str) -> JsonObject:
    """Return the moments (seconds since 1970, UTC) at which a zone's offset changes, and the offsets before and after them."""
    try:
        zone = ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise invalid(step, f"the time zone '{name}' is not known here", "name one like 'America/New_York'") from error
    moment, end = datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC), datetime(_LAST_YEAR, 1, 1, tzinfo=UTC)
    offsets, at = [_offset_s(zone, moment)], []
    while moment < end:
        later = moment + _STEP
        if _offset_s(zone, later) != offsets[-1]:
            change = _change(zone, moment, later)
            at.append(int(change.timestamp()))
            offsets.append(_offset_s(zone, change))
        moment = later
    return {"at": at, "offsets": offsets}


def _change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=int((after - before).total_seconds()) // 2)
        if _offset_s(zone, middle) == _offset_s(zone, before):
            before = middle
        else:
            after = middle
    return after


def _offset_s(zone: ZoneInfo, moment: datetime) -> int:
    offset = moment.astimezone(zone).utcoffset() or timedelta()
    return int(offset.total_seconds())


def _date_parts_check(step: DeclaredStep) -> str | None:
    parts = step.params["parts"]
    known = DAY_PARTS + TIME_PARTS
    if not parts or len(set(parts)) < len(parts) or not set(parts) <= set(known):
        return f"parts are to be some of {', '.join(known)}, once each, and are {parts!r}"
    return None


def _date_parts(step: DeclaredStep, scope: Scope) -> None:
    for name in step.columns:
        column = scope.column(name, TEMPORAL, told(step))
        if column.kind is ValueKind.DATE and set(step.params["parts"]) & set(TIME_PARTS):
            raise invalid(step, f"'{name}' is a date without a time of day", f"leave out {', '.join(TIME_PARTS)}")
        local = _localised(step, scope, name, column)
        if step.params["drop"]:
            del scope.columns[name]
        for part in step.params["parts"]:
            scope.add(f"{name}_{part}", DatePart(part, local), told(step))


def _localised(step: DeclaredStep, scope: Scope, name: str, column: Column) -> Column:
    zone = _zone(step, column)
    if zone is None:
        return column
    table = (step.fitted or {})["zones"].get(zone)
    if table is None:  # fitted when `fill_null` still lost the zone: the clock read was that of UTC
        return column
    transitions = tuple(datetime.fromtimestamp(at, UTC).replace(tzinfo=None) for at in table["at"])
    return scope.let(name, Localise(column, transitions, tuple(table["offsets"])))


def _elapsed(step: DeclaredStep, scope: Scope) -> None:
    later, earlier = (scope.column(name, TEMPORAL, told(step)) for name in step.columns)
    unit = step.params["unit"]
    name = step.params["name"] or f"{step.columns[0]}_since_{step.columns[1]}_{unit}"
    scope.add(name, Elapsed(_instant(later), _instant(earlier), UNITS_US[unit]), told(step))


def _instant(column: Column) -> Expression:
    return MidnightOf(column) if column.kind is ValueKind.DATE else column


DATES: Final = (
    Definition(
        "parse_date",
        _parse_date,
        _parse_date_learn,
        check=_parse_date_check,
        parameters=(
            Parameter("format", (str, list, type(None)), None),
            Parameter("to", (str,), "datetime", one_of(("date", "datetime"))),
            Parameter("zone", (str, type(None)), None),
        ),
    ),
    Definition(
        "date_parts",
        _date_parts,
        _date_parts_learn,
        check=_date_parts_check,
        parameters=(
            Parameter("parts", (list,)),
            Parameter("zone", (str, type(None)), None),
            Parameter("drop", (bool,), default=True),
        ),
    ),
    Definition(
        "elapsed",
        _elapsed,
        columns=(2, 2),
        parameters=(Parameter("unit", (str,), "hours", one_of(tuple(UNITS_US))), Parameter("name", (str, type(None)), None)),
    ),
)
