"""Pure decisions of the registry: what a gate comes to, how a version is named."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import isfinite

from modelyard.core import Problem
from modelyard.data import DatasetVersionId
from modelyard.registry.types import (
    Alias,
    Approval,
    Composition,
    Condition,
    ConditionKind,
    ConditionResult,
    Evaluation,
    Form,
    Gate,
    GateResult,
    ModelVersion,
)
from modelyard.training import Direction, Recipe, RunId
from modelyard.training.metrics import DIRECTIONS

REFERENCE = re.compile(r"^(?P<model>[a-z][a-z0-9_-]*)@(?P<what>[a-z0-9][a-z0-9_-]*)$")
LATEST = "latest"
AUTO = "auto"  # of forms: the fastest of those that answer alike
CODE = "python"  # the framework whose models are what their maker wrote, a stranger perhaps
FORM_PREFERENCE = ("onnx", "native")  # of forms that are equally fast, or were not measured


@dataclass(frozen=True)
class Training:
    """What a version was trained by and on."""

    run: RunId
    recipe: Recipe
    data: DatasetVersionId


def trained(version: ModelVersion, wish: str, code: str = "version.refused") -> Training:
    """Return what a version was trained by and on.

    Parameters
    ----------
    wish
        What that is needed for: `be retrained`.
    code
        Of the problem, when the version was made elsewhere.
    """
    if version.run is None or version.recipe is None or version.data is None:
        what, detail = f"{version.model}@{version.number} cannot {wish}", {"version": version.number}
        if version.composition is not None:
            why = f"it is combined of {told_parts(version.composition)}, and has no recipe of its own"
            raise Problem(code, what, why, "retrain its members, and combine them again", detail)
        origin = f"it was imported from {version.origin.name}" if version.origin else "it was made elsewhere"
        why = f"{origin}, so neither its recipe nor the rows that it was trained on are known here"
        raise Problem(code, what, why, "train a model here with a trainer, and register its run", detail)
    return Training(version.run, version.recipe, version.data)


def barred(alias: Alias, version: int | None) -> Alias:
    """Return an alias whose rule no longer chooses a version: it was rolled back from."""
    if alias.best is None or version is None or version in alias.best.barred:
        return alias
    return replace(alias, best=replace(alias.best, barred=(*alias.best.barred, version)))


def told_parts(composition: Composition) -> str:
    """Return what a composition is made of, for people.

    >>> from modelyard.registry.types import Combining, Part
    >>> told_parts(Composition(Combining.MEAN, (Part("a", 3, "a"), Part("b", 7, "b"))))
    'a@3 and b@7 by mean'
    """
    *most, last = [one.ref for one in composition.parts]
    return f"{', '.join(most)} and {last} by {composition.rule.value}"


def chosen_form(version: ModelVersion, wanted: str = AUTO) -> Form:
    """Return the form by which a version is served: the wanted one where it has that, else the fastest measured.

    One that is only nearly the native one is never served unless it is wanted.
    """
    return next((one for one in version.forms if one.name == wanted), None) or min(alike(version.forms), key=_speed)


def alike(forms: Sequence[Form]) -> list[Form]:
    """Return those of a version's forms that answer as the native one does: all but the approximate ones."""
    return [form for form in forms if not form.approximate]


def _speed(form: Form) -> tuple[float, int]:
    place = FORM_PREFERENCE.index(form.name) if form.name in FORM_PREFERENCE else len(FORM_PREFERENCE)
    return form.latency_us if form.latency_us is not None else float("inf"), place


def parse_reference(text: str) -> tuple[str, str]:
    """Return model and what follows the `@`: a number, an alias or `latest`.

    >>> parse_reference("delay@champion")
    ('delay', 'champion')

    Raises
    ------
    Problem
        `reference.invalid` for another form.
    """
    found = REFERENCE.match(text if "@" in text else f"{text}@{LATEST}")
    if not found:
        raise Problem(
            "reference.invalid", f"'{text}' names no model version", "the form is MODEL@NUMBER, MODEL@ALIAS or MODEL@latest"
        )
    return found["model"], found["what"]


def judge_gate(
    gate: Gate, version: ModelVersion, alias: Alias | None, alias_name: str, approvals: Sequence[Approval], now: datetime
) -> GateResult:
    """Return what `gate` comes to for `version`, each demand by itself. `alias`: as it stands now, if it does."""
    current = alias.version if alias else None
    results = tuple(_judge(condition, version, current, approvals) for condition in gate.conditions)
    return GateResult(
        model=version.model,
        version=version.number,
        alias=alias_name,
        against=current,
        passed=all(result.passed for result in results),
        broken_glass=alias is not None and version.number in alias.broken_for,
        results=results,
        at=now,
    )


def _judge(condition: Condition, version: ModelVersion, current: int | None, approvals: Sequence[Approval]) -> ConditionResult:
    if condition.kind is ConditionKind.BETTER:
        return _judge_better(condition, version, current)
    if condition.kind is ConditionKind.CHECKS:
        told = "the checks of its data are green" if version.checks_green else "rows that it was trained on fail a check"
        if version.composition is not None:
            told = f"the checks of its members' data are {'green' if version.checks_green else 'not all green'}"
        elif version.data is None:
            told = "it was imported: the rows that it was trained on are not known here"
        return ConditionResult(condition, version.checks_green, None, told)
    if condition.kind is ConditionKind.LATENCY:
        fastest = chosen_form(version).latency_us
        if fastest is None:
            return ConditionResult(condition, False, None, "its latency was not measured")
        told = f"one row takes {fastest:,.0f} µs; allowed are {condition.limit:,.0f} µs"
        return ConditionResult(condition, fastest <= condition.limit, fastest, told)
    if condition.kind is ConditionKind.PARITY:
        worst = max((form.max_abs_diff for form in alike(version.forms)), default=0.0)
        told = f"its forms differ by at most {worst:.1e}; allowed are {condition.limit:.0e}"
        return ConditionResult(condition, worst <= condition.limit, worst, told)
    people = len({approval.by for approval in approvals if not approval.break_glass})
    told = f"{people} of {condition.limit:.0f} people have approved"
    return ConditionResult(condition, people >= condition.limit, people, told)


def _judge_better(condition: Condition, version: ModelVersion, current: int | None) -> ConditionResult:
    metric = condition.metric or "log_loss"
    if current is None or current == version.number:
        return ConditionResult(condition, True, None, "nothing stands there yet to be better than")
    evaluation = latest_evaluation(version, current, metric)
    if evaluation is None:
        told = (
            f"it was not measured by {metric} beside version {current} on the same rows: "
            f"yard model evaluate {version.model} {version.number} --against {current}"
        )
        return ConditionResult(condition, False, None, told)
    value, against = values_of(evaluation, metric)
    gain = (value or 0.0) - (against or 0.0)
    gain = gain if condition.direction is Direction.MAXIMISE else -gain
    demand = (
        f"better by at least {condition.limit:g}" if condition.limit > 0 else f"not worse by more than {-condition.limit:g}"
    )
    told = (
        f"{metric} {value:.4f} against {against:.4f} of v{current} on {evaluation.rows:,} rows "
        f"({evaluation.window}); demanded: {demand}"
    )
    return ConditionResult(condition, gain >= condition.limit, gain, told)


def latest_evaluation(version: ModelVersion, against: int, metric: str) -> Evaluation | None:
    """Return the newest evaluation of `version` beside version `against` in which both were measured by `metric`."""
    found = [e for e in version.evaluations if e.against == against and None not in values_of(e, metric)]
    return max(found, key=lambda e: e.at, default=None)


def values_of(evaluation: Evaluation, metric: str) -> tuple[float | None, float | None]:
    """Return the metric of the measured version and of the one beside it; None: it was not measured."""
    if evaluation.metric == metric:
        return evaluation.value, evaluation.against_value
    return evaluation.metrics.get(metric), evaluation.against_metrics.get(metric)


def check_gate(gate: Gate) -> None:
    """Return when each demand of a gate can be met and means what it says.

    Raises
    ------
    Problem
        `gate.invalid`.
    """
    for condition in gate.conditions:
        kind, limit = condition.kind, condition.limit
        if not isfinite(limit) or (kind is not ConditionKind.BETTER and limit < 0):
            raise Problem("gate.invalid", f"The gate's limit of {kind.value} is {limit}", "it is a number, and not below 0")
        if kind is ConditionKind.BETTER and condition.direction is not DIRECTIONS.get(
            condition.metric or "", condition.direction
        ):
            known = DIRECTIONS[condition.metric or ""].value
            why = f"of {condition.metric} one wants to {known} it"
            raise Problem("gate.invalid", f"The gate would {condition.direction.value} {condition.metric}", why, f"say {known}")


def check_code(version: ModelVersion) -> None:
    """Return when a version runs its maker's code only where that was allowed. Problem `version.forbidden`."""
    allowed = version.origin is not None and version.origin.code is not None
    if not allowed and any(form.framework == CODE for form in version.forms):
        why = "nobody who may do so has allowed it to run its maker's code"
        raise Problem(
            "version.forbidden", f"A version of {version.model} is not registered", why, "import it with --allow-code"
        )


def told_failures(result: GateResult) -> str:
    """Return the failed demands as one text."""
    return "; ".join(f"{one.condition.kind.value}: {one.told}" for one in result.results if not one.passed)
