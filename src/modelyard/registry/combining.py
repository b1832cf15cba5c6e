"""Versions that are made of others: asked for by reference, proved by a worker, recorded by exact versions."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from modelyard.core import Digest, Problem, ProjectId, canonical_json, check_name
from modelyard.jobs import Job
from modelyard.jobs.service import submit
from modelyard.registry.composition import FORM, FRAMEWORK, check_composition, compose
from modelyard.registry.parts import leaves_of, members_of
from modelyard.registry.service import Ports, add_version, ensure_model, get_version
from modelyard.registry.store import RegistryTransaction
from modelyard.registry.types import Combining, Composition, Evaluation, Form, ModelVersion, Part, Signature
from modelyard.tenancy import Actor, authorise

COMBINE_JOB = "model.combine"
_NAME = re.compile(r"[^\s|,`<>=]{1,100}")
MOST_PARTS = 64  # that one combined version has in all, those of its combined members among them


@dataclass(frozen=True)
class Combination:
    """What somebody wants to combine.

    Parameters
    ----------
    by
        The rule: `mean`, `weighted`, `vote`, `stack`, `route`.
    members
        `MODEL@WHAT`, or `NAME=MODEL@WHAT`: a number, an alias or `latest`, resolved now.
    last
        Of a stack: who answers from the members' answers. Of a route: who chooses among the members.
    """

    by: str
    members: tuple[str, ...]
    last: str | None = None
    weights: tuple[float, ...] = ()
    limits: tuple[float, ...] = ()
    threshold: float = 0.5
    alias: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Combined:
    """A combination that was proved here."""

    composition: Composition
    signature: Signature
    form: Form
    checks_green: bool
    card: str  # Markdown
    metrics: Mapping[str, float] = field(default_factory=dict)  # on held-out rows
    evaluations: tuple[Evaluation, ...] = ()
    answering: ModelVersion | None = None  # the one whose rows speak for the whole
    note: str = ""


def request_combination(ports: Ports, actor: Actor, project: ProjectId, model: str, wish: Combination) -> Job:
    """Queue the making of a combined version; a worker loads it, asks it, measures it and registers it.

    Raises
    ------
    Problem
        `composition.invalid`, saying which part does not fit; `model.missing`, `version.missing` and `alias.missing` for a
        member that there is not.
    """
    authorise(actor, "model.write", project)
    check_name("model", model)
    if wish.alias is not None:
        authorise(actor, "alias.move", project)
        check_name("alias", wish.alias)
    composition = _resolved(ports, actor, project, wish)
    check_composition(composition)
    with ports.transaction() as tx:
        parts = members_of(tx, project, composition)
        composition, _ = compose(composition, parts)
        _check_size(tx, parts)
        ensure_model(ports, actor, project, model)
        told = msgspec.to_builtins(composition)
        payload = {"model": model, "composition": told, "alias": wish.alias, "note": wish.note}
        names = ", ".join(one.ref for one in composition.parts)
        title = f"combine {names} as {model}"
        return submit(ports, actor, project, kind=COMBINE_JOB, title=title[:200], payload=payload, max_attempts=2)


def add_combination(ports: Ports, actor: Actor, project: ProjectId, model: str, made: Combined) -> ModelVersion:
    """Record a combined version. Called by the runner's step alone: what it holds was measured there."""

    def version(number: int, card: Digest) -> ModelVersion:
        answering = made.answering
        return ModelVersion(
            project=project,
            model=model,
            number=number,
            run=None,
            recipe=None,
            data=answering.data if answering is not None else None,
            pipeline=None,
            signature=made.signature,
            forms=(made.form,),
            metrics=made.metrics,
            slices=(),
            evaluations=made.evaluations,
            checks_green=made.checks_green,
            card=card,
            created_by=actor.member,
            created_at=ports.clock(),
            note=made.note,
            reference=made.metrics,
            composition=made.composition,
        )

    told = {"run": None, "by": made.composition.rule.value, "members": [one.ref for one in made.composition.parts]}
    return add_version(ports, actor, project, model, card=made.card, made=version, told=told)


def keep_composition(ports: Ports, project: ProjectId, composition: Composition, parts: Sequence[Form]) -> Form:
    """Return the form of a combined version, its composition kept; `parts` are the forms by which its parts are served.

    It is as large as what is loaded for it, and differs from the native one by no more than the parts do where their answers
    are averaged.
    """
    [digest] = ports.objects.put(project, [canonical_json(msgspec.to_builtins(composition)).encode()])
    compared = [form.rows_compared for form in parts if form.rows_compared]
    size, worst = sum(form.size_bytes for form in parts), max((form.max_abs_diff for form in parts), default=0.0)
    return Form(FORM, digest, size, FRAMEWORK, min(compared, default=0), worst)


def _check_size(tx: RegistryTransaction, parts: Sequence[ModelVersion]) -> None:
    count = sum(len(leaves_of(tx, part)) for part in parts)
    if count > MOST_PARTS:
        why = f"its members come down to {count} versions, and at most {MOST_PARTS} are loaded together"
        raise Problem("composition.invalid", "It is made of too many versions", why, "combine fewer")


def _resolved(ports: Ports, actor: Actor, project: ProjectId, wish: Combination) -> Composition:
    """Return a wish by exact versions."""
    rules = [rule.value for rule in Combining]
    if wish.by not in rules:
        raise Problem("composition.invalid", f"'{wish.by[:40]}' is no rule", f"the rules are {', '.join(rules)}", "--by mean")
    models = [reference.partition("=")[2] or reference for reference in wish.members]
    models = [reference.partition("@")[0] for reference in models]
    members = [
        _member(ports, actor, project, one, alone=models.count(of) == 1) for one, of in zip(wish.members, models, strict=True)
    ]
    return Composition(
        rule=Combining(wish.by),
        members=tuple(members),
        head=_member(ports, actor, project, wish.last, alone=True) if wish.last is not None else None,
        weights=wish.weights,
        limits=wish.limits,
        threshold=wish.threshold,
    )


def _member(ports: Ports, actor: Actor, project: ProjectId, text: str, *, alone: bool) -> Part:
    """Return the member that a text names; without a name of its own it is called by its model, or by model and number."""
    name, named, reference = text.partition("=")
    version = get_version(ports, actor, project, reference if named else text)
    if named and not _NAME.fullmatch(name):
        why = "it names a column: 1 to 100 characters, no spaces and none of | , ` < > among them"
        raise Problem("composition.invalid", f"{name[:40]!r} is no name for a member", why, "NAME=MODEL@NUMBER")
    own = version.model if alone else f"{version.model}@{version.number}"
    return Part(version.model, version.number, name if named else own)
