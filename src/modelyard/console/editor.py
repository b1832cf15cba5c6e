"""The editor: a pipeline drawn, tried on a sample, changed and saved. Its state is the pipeline's JSON in the forms."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote, urlencode

from fastapi import APIRouter
from fastapi.responses import Response
from markupsafe import Markup

from modelyard.console.charts import histogram
from modelyard.console.columns import all_differ
from modelyard.console.data import newest_versions
from modelyard.console.frame import SEEN, Frame, base_of, frame_of, show
from modelyard.console.pipeline_picture import Stop, draw_pipeline
from modelyard.console.rendering import PageRoute, page, see_other
from modelyard.console.stations import pipeline_of
from modelyard.console.step_forms import StepForm, empty_fields, fields_of_step, form_of, kinds_by_group, meaning_of, read_step
from modelyard.console.telling import count, share, value
from modelyard.console.visits import Fields, InProject, Visit
from modelyard.core import PageRequest, Problem, canonical_json
from modelyard.data import Check
from modelyard.data.reading import find_version
from modelyard.data.sample import sample_version
from modelyard.data.service import get_dataset
from modelyard.prepare import FunctionStep, Pipeline, SpeedClass, Step, speed_class, suggest
from modelyard.prepare.pipeline_text import pipeline_text
from modelyard.prepare.rules import read_pipeline
from modelyard.prepare.service import (
    MOST_ROWS,
    find_pipelines,
    get_pipeline_version,
    load_pipeline,
    save_pipeline,
    try_pipeline,
)
from modelyard.prepare.step_text import step_text
from modelyard.prepare.trying import ColumnChange, Tried, TriedColumn, TriedProblem, TriedStep
from modelyard.registry.service import find_models, find_versions, get_version

router = APIRouter(prefix="/projects/{project}/prepare", route_class=PageRoute, include_in_schema=False)
ROWS = 1_000
MOST_CHARACTERS = 100_000  # of a pipeline's JSON, which every form of the page carries
ONE = PageRequest(limit=1)
_NUMBER = re.compile("[0-9]{1,9}")
NOTHING, SUGGESTED, SAVED, MODEL = "nothing", "suggest", "pipeline:", "model:"  # what an editor begins with


@dataclass(frozen=True)
class Draft:
    """What is being edited; it travels in every form."""

    pipeline: Pipeline
    data: str
    label: str = ""
    rows: int = ROWS
    name: str = ""  # the saved pipeline that it came from

    @property
    def fields(self) -> dict[str, str]:
        """The hidden fields."""
        document = canonical_json(self.pipeline.to_json())
        return {"pipeline": document, "data": self.data, "label": self.label, "rows": str(self.rows), "name": self.name}


@dataclass(frozen=True)
class Trouble:
    """What could not be done to a step (0: to the one that was to be added), and what had been filled in."""

    step: int
    problem: Problem
    given: Mapping[str, str]


@dataclass(frozen=True)
class Adding:
    """The form of a step to be added behind the step `after`."""

    form: StepForm
    after: int
    problem: Problem | None = None


@dataclass(frozen=True)
class Side:
    """A column before or after a step."""

    kind: str
    nulls: str
    picture: Markup
    examples: str


@dataclass(frozen=True)
class ChangeRow:
    """What a step did to a column."""

    name: str
    did: str
    before: Side | None
    after: Side | None


@dataclass(frozen=True)
class EditedStep:
    """A step of the page."""

    number: int
    kind: str
    meaning: str
    text: str
    source: str  # of a function
    state: str  # worked, failed, untried
    told: str
    changes: tuple[ChangeRow, ...]
    more: int
    learned: str
    problem: TriedProblem | Problem | None
    form: StepForm | None
    is_open: bool


@dataclass(frozen=True)
class Edited:
    """The pipeline on the page."""

    draft: Draft
    picture: Markup
    steps: tuple[EditedStep, ...]
    raw: tuple[tuple[str, Side], ...]
    left: tuple[tuple[str, str], ...]
    problem: TriedProblem | Problem | None  # of no step
    is_whole: bool
    speed: SpeedClass
    python: str
    adding: Adding | None


@dataclass(frozen=True)
class EditorPage:
    """The context of the editor."""

    frame: Frame
    href: str
    datasets: tuple[str, ...]
    starts: tuple[tuple[str, str], ...]
    data: str
    label: str
    rows: str
    start: str
    problem: Problem | None  # of what was chosen
    edited: Edited | None
    kinds: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]


def editor_path(visit: Visit, **query: str) -> str:
    """Return the address of the editor; `start`, `data` and `label` say what it begins with."""
    path = f"{base_of(visit.project)}/prepare/editor"
    return f"{path}?{urlencode(query, safe=':@')}" if query else path


def build_editor(visit: Visit, *, edited: Edited | None = None, problem: Problem | None = None) -> EditorPage:
    """Return the context: of `edited`, else what may be begun with."""
    frame = frame_of(visit, "Prepare", "Editor")
    query = frame.query
    draft = edited.draft if edited else None
    return EditorPage(
        frame=frame,
        href=editor_path(visit),
        datasets=tuple(newest_versions(visit)),
        starts=tuple(_starts(visit)),
        data=draft.data if draft else query.get("data", ""),
        label=draft.label if draft else query.get("label", ""),
        rows=str(draft.rows) if draft else query.get("rows", str(ROWS)),
        start=query.get("start", NOTHING),
        problem=problem,
        edited=edited,
        kinds=kinds_by_group(),
    )


def _starts(visit: Visit) -> Iterator[tuple[str, str]]:
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    yield NOTHING, "no step"
    yield SUGGESTED, "the steps that the data suggests"
    for saved in find_pipelines(platform, actor, project):
        yield f"{SAVED}{saved.name}@{saved.number}", f"{saved.name} v{saved.number}"
    for model in find_models(platform, actor, project):
        newest = next(iter(find_versions(platform, actor, project, model.name, ONE).items), None)
        if newest is not None and newest.pipeline is not None:
            yield f"{MODEL}{model.name}@{newest.number}", f"the steps of the model {model.name} v{newest.number}"


# Beginning


def begin(visit: Visit, query: Mapping[str, str]) -> Draft:
    """Return what the query of the address says to begin with. Problem where that is not there, or no number."""
    data, label, start = query.get("data", "").strip(), query.get("label", "").strip(), query.get("start", NOTHING)
    rows = _rows(query.get("rows", ""))
    return _checked(Draft(_started(visit, start, data, label, rows), data, label, rows, _name_of(start)))


def _checked(draft: Draft) -> Draft:
    if draft.pipeline.sets:
        why = "what a set becomes is not seen on a sample"
        raise Problem("pipeline.invalid", "The editor takes no steps over whole sets", why, "change it in Python")
    size = len(draft.fields["pipeline"])
    if size > MOST_CHARACTERS:
        what = f"The pipeline has {size:,} characters with the code of its functions"
        raise Problem("pipeline.too_large", what, f"the editor takes {MOST_CHARACTERS:,}", "change it in Python")
    return draft


def _name_of(start: str) -> str:
    return start.removeprefix(SAVED).partition("@")[0] if start.startswith(SAVED) else ""


def _rows(text: str) -> int:
    try:
        return int(text.strip() or ROWS)
    except ValueError as error:
        raise Problem("sample.invalid", "The number of rows is none", f"it says {text[:40]!r}", f"{ROWS}") from error


def _started(visit: Visit, start: str, data: str, label: str, rows: int) -> Pipeline:
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    if start.startswith(SAVED):
        saved = get_pipeline_version(platform, actor, project, start.removeprefix(SAVED))
        return load_pipeline(platform, actor, project, saved)
    if start.startswith(MODEL):
        version = get_version(platform, actor, project, start.removeprefix(MODEL))
        if version.pipeline is None:
            why = "it takes its inputs as they are"
            raise Problem(
                "pipeline.missing", f"{version.model} v{version.number} has no steps", why, "begin with something else"
            )
        return read_pipeline(pipeline_of(visit, version.pipeline).to_json())
    if start == SUGGESTED:
        found = find_version(platform, project, data)
        dataset = get_dataset(platform, actor, project, found.name)
        sample = sample_version(platform, actor, project, found, min(rows, MOST_ROWS))
        time = dataset.time if dataset.time != label else None
        return Pipeline(suggest(sample, label or None, key=dataset.key, time=time).steps)
    return Pipeline(())


# What a form asks for


def changed(draft: Draft, deed: str, given: Mapping[str, str]) -> tuple[Draft, Trouble | None]:
    """Return the draft as a form wants it, else as it is and what is in the way. Problem `form.invalid` for an unknown deed."""
    what, _, told = deed.partition(":")
    number = int(told) if _NUMBER.fullmatch(told) else 0
    steps = list(draft.pipeline.steps)
    if what in ("try", "choose"):
        return draft, None
    if what == "add":
        return _added(draft, given)
    if not 1 <= number <= len(steps):
        raise Problem("form.invalid", "The form does not fit the pipeline", f"it asks for {deed[:40]!r}", "reload the page")
    place = number - 1
    if what == "remove":
        del steps[place]
    elif what in ("up", "down"):
        other = max(0, place - 1) if what == "up" else min(len(steps) - 1, place + 1)
        steps[place], steps[other] = steps[other], steps[place]
    elif what == "change":
        old = steps[place]
        try:
            steps[place] = read_step(given.get("kind", ""), given, () if isinstance(old, FunctionStep) else old.columns)
        except Problem as problem:
            return draft, Trouble(number, problem, given)
    else:
        raise Problem("form.invalid", "The form asks for nothing that is known", f"it says {deed[:40]!r}", "reload the page")
    return replace(draft, pipeline=Pipeline(tuple(steps))), None


def _added(draft: Draft, given: Mapping[str, str]) -> tuple[Draft, Trouble | None]:
    steps = list(draft.pipeline.steps)
    try:
        steps.insert(_after(draft, given), read_step(given.get("kind", ""), given))
    except Problem as problem:
        return draft, Trouble(0, problem, given)
    return replace(draft, pipeline=Pipeline(tuple(steps))), None


def _after(draft: Draft, given: Mapping[str, str]) -> int:
    text = given.get("after", "")
    most = len(draft.pipeline.steps)
    return min(int(text), most) if _NUMBER.fullmatch(text) else most


def _draft(fields: Mapping[str, str]) -> Draft:
    try:
        document = json.loads(fields.get("pipeline", ""))
    except (ValueError, RecursionError) as error:
        raise Problem(
            "pipeline.invalid", "The form carries no pipeline", "its JSON does not read", "reload the page"
        ) from error
    rows = _rows(fields.get("rows", ""))
    data, label = fields.get("data", "").strip(), fields.get("label", "").strip()
    return _checked(Draft(read_pipeline(document), data, label, rows, fields.get("name", "")))


def _promised(visit: Visit, name: str) -> tuple[Check, ...]:
    """Return what the saved pipeline that was begun with promises of its rows: the editor changes steps alone."""
    found = find_pipelines(visit.platform, visit.actor, visit.project.id) if name else []
    return next((one.checks for one in found if one.name == name), ())


# The page


def edit(visit: Visit, draft: Draft, trouble: Trouble | None = None, given: Mapping[str, str] | None = None) -> Edited:
    """Return the draft tried on its rows. `given` are the fields of the form that was sent: which kind is to be added."""
    tried, failed = _tried(visit, draft)
    steps = tuple(_steps(draft, tried, trouble))
    kept = trouble.given if trouble and trouble.step == 0 else given or {}
    of_no_step = tried.problem if tried and tried.problem and tried.problem.step is None else failed
    return Edited(
        draft=draft,
        picture=draw_pipeline(tuple(_stops(draft, tried, steps))),
        steps=steps,
        raw=tuple((one.name, _side(one, tried.rows)) for one in tried.raw) if tried else (),
        left=tried.columns if tried else (),
        problem=of_no_step,
        is_whole=tried is not None and tried.problem is None,
        speed=speed_class(draft.pipeline.steps),
        python=pipeline_text(draft.pipeline),
        adding=_adding(draft, tried, kept, trouble) if kept.get("kind") and (not trouble or trouble.step == 0) else None,
    )


def _tried(visit: Visit, draft: Draft) -> tuple[Tried | None, Problem | None]:
    try:
        found = try_pipeline(
            visit.platform,
            visit.actor,
            visit.project.id,
            draft.pipeline,
            draft.data,
            label=draft.label or None,
            rows=draft.rows,
        )
    except Problem as problem:
        return None, problem
    return found, None


def _steps(draft: Draft, tried: Tried | None, trouble: Trouble | None) -> Iterator[EditedStep]:
    for number, step in enumerate(draft.pipeline.steps, 1):
        done = tried.steps[number - 1] if tried and number <= len(tried.steps) else None
        failed = tried.problem if tried and tried.problem and tried.problem.step == number else None
        mine = trouble if trouble and trouble.step == number else None
        is_function = isinstance(step, FunctionStep)
        yield EditedStep(
            number=number,
            kind=step.name if isinstance(step, FunctionStep) else step.kind,
            meaning="A function of yours." if isinstance(step, FunctionStep) else meaning_of(step.kind),
            text=step.name if isinstance(step, FunctionStep) else step_text(step),
            source=step.code.source if isinstance(step, FunctionStep) else "",
            state="worked" if done else "failed" if failed else "untried",
            told=_told(tried, done),
            changes=tuple(_change(one, tried.rows) for one in done.changes) if tried and done else (),
            more=done.more if done else 0,
            learned=", ".join(f"{name}: {value(one)}" for name, one in done.learned.items() if one) if done else "",
            problem=mine.problem if mine else failed,
            form=None if is_function else _form(step, done, tried, mine),
            is_open=mine is not None or failed is not None,
        )


def _form(step: Step, done: TriedStep | None, tried: Tried | None, trouble: Trouble | None) -> StepForm | None:
    if isinstance(step, FunctionStep):
        return None
    columns = done.before if done else tried.columns if tried else ()
    return form_of(step.kind, columns, trouble.given if trouble else fields_of_step(step))


def _adding(draft: Draft, tried: Tried | None, given: Mapping[str, str], trouble: Trouble | None) -> Adding:
    after = _after(draft, given)
    columns = tried.steps[after].before if tried and after < len(tried.steps) else tried.columns if tried else ()
    filled = given if trouble else empty_fields(given["kind"])
    return Adding(form_of(given["kind"], columns, filled), after, trouble.problem if trouble else None)


def _told(tried: Tried | None, done: TriedStep | None) -> str:
    if tried is None or done is None:
        return ""
    return f"{count(tried.rows)} rows · {len(done.before)} → {done.after} columns · {count(done.nulls)} missing"


def _change(change: ColumnChange, rows: int) -> ChangeRow:
    did = "added" if change.before is None else "removed" if change.after is None else "changed"
    sides = (None if one is None else _side(one, rows) for one in (change.before, change.after))
    return ChangeRow(change.name, did, *sides)


def _side(column: TriedColumn, rows: int) -> Side:
    looks = column.profile
    picture = Markup("") if all_differ(looks) else histogram(looks, column.name)
    examples = ", ".join("missing" if one is None else one for one in column.examples)
    return Side(column.kind, share(looks.null / rows if rows else 0.0), picture, examples)


def _stops(draft: Draft, tried: Tried | None, steps: tuple[EditedStep, ...]) -> Iterator[Stop]:
    def told(columns: int, nulls: int) -> tuple[str, ...]:
        return f"{count(tried.rows if tried else 0)} rows, {columns} columns", f"{count(nulls)} missing"

    yield Stop("raw rows", draft.data, told(len(tried.raw), tried.nulls) if tried else ("not tried",), "", "#raw")
    for one, step in zip(steps, draft.pipeline.steps, strict=True):
        done = tried.steps[one.number - 1] if tried and one.state == "worked" else None
        columns = "function" if isinstance(step, FunctionStep) else ", ".join(step.columns)
        figures = told(done.after, done.nulls) if done else ("it fails" if one.state == "failed" else "not tried",)
        yield Stop(f"{one.number}. {one.kind}", columns, figures, one.state, f"#step-{one.number}")
    if tried and tried.problem is None:
        yield Stop(
            "features", draft.label and f"to predict {draft.label}", (f"{len(tried.columns)} columns",), "chosen", "#left"
        )


@router.get("/editor")
def editor(visit: InProject) -> Response:
    """Show the editor: what to begin with, and the pipeline as soon as that is said."""
    if SEEN in visit.request.headers:  # a live page looks after what is around it; what is edited stays as it is
        return show(visit, "editor.html", lambda: build_editor(visit))
    if "data" not in visit.request.query_params:
        return page("editor.html", build_editor(visit))
    try:
        draft = begin(visit, dict(visit.request.query_params))
    except Problem as problem:
        return page("editor.html", build_editor(visit, problem=problem))
    return page("editor.html", build_editor(visit, edited=edit(visit, draft)))


@router.post("/editor")
def edited(visit: InProject, fields: Fields) -> Response:
    """Do what a form asks for, try the pipeline, and show it; nothing is kept but by `save`."""
    draft = _draft(fields)
    deed = fields.get("deed", "try")
    if deed == "save":
        platform, actor, project = visit.platform, visit.actor, visit.project.id
        name, document = fields.get("save_as", "").strip(), draft.pipeline.to_json()
        checks = _promised(visit, draft.name)
        saved = save_pipeline(platform, actor, project, name, document, checks=checks, note=fields.get("note", "").strip())
        path = f"{base_of(visit.project)}/prepare/pipelines/{quote(saved.name, safe='')}/{saved.number}"
        return see_other(path, f"It is {saved.name} v{saved.number}.")
    draft, trouble = changed(draft, deed, fields)
    given = fields if deed == "choose" else None
    return page("editor.html", build_editor(visit, edited=edit(visit, draft, trouble, given)))
