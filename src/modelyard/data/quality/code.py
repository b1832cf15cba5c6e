"""Checks as the code that a user writes for them."""

from modelyard.core import Json
from modelyard.data.quality.kinds import Scope, scope_of
from modelyard.data.types import Check, Severity

_TIMES = ("between", "not_after", "not_before")  # whose limits may be times


def code_of(check: Check) -> str:
    """Return the expression that makes the check, where `quality` is imported, and `date` and `datetime` for times.

    >>> code_of(Check("between", ("delay",), {"low": 0, "high": None}, Severity.WARNING))
    "quality.warning(quality.between('delay', 0, None))"
    """
    made = f"quality.{check.kind}({', '.join([*map(repr, check.columns), *_arguments(check)])})"
    usual = Severity.ERROR if scope_of(check) is Scope.ROW else Severity.BLOCK
    return made if check.severity is usual else f"quality.{_SEVERITIES[check.severity]}({made})"


def _arguments(check: Check) -> list[str]:
    params = check.params
    if check.kind == "increasing":
        return ["strictly=True"] if params["strictly"] else []
    if set(params) == {"low", "high"}:
        return [_literal(check, params["low"]), _literal(check, params["high"])]
    return [repr(params["column"]) if name == "column" else _literal(check, value) for name, value in params.items()]


def _literal(check: Check, value: Json) -> str:
    if check.kind == "matches" and isinstance(value, str) and value.isprintable() and "'" not in value and value[-1:] != "\\":
        return f"r'{value}'" if "\\" in value else repr(value)
    if check.kind not in _TIMES or not isinstance(value, str) or value == "now":
        return repr(value)
    return f"{'date' if len(value) == len('2013-01-01') else 'datetime'}.fromisoformat({value!r})"


_SEVERITIES = {Severity.BLOCK: "blocking", Severity.WARNING: "warning"}
