"""The editor without scripts: forms that are filled in and sent as a browser would, by people of both roles."""

import json

import httpx
import polars as pl
import pytest

from modelyard.console.editor import MOST_CHARACTERS
from modelyard.console.step_forms import COLUMN, PARAMETER
from modelyard.console.telling import count
from modelyard.data import quality
from modelyard.data.service import append, create_dataset
from modelyard.prepare import Code, FunctionStep, Pipeline, function_step, prep
from modelyard.prepare.service import find_pipelines, load_pipeline, save_pipeline
from modelyard.tenancy.service import find_projects
from tests.console.conftest import PROJECT, Site, viewer_token
from tests.console.filled import HOSTILE
from tests.console.reading import Element, read

BEGIN = "prepare/editor?data=departures@1&label=late"


def fields_of(form: Element) -> dict[str, str]:
    """Return what a browser would send of a form that nobody has touched."""
    fields = {one.attributes["name"]: one.attributes.get("value", usual(one)) for one in form.all("input") if sent(one)}
    for one in form.all("select"):
        options = one.all("option")
        chosen = next((option for option in options if "selected" in option.attributes), options[0])
        fields[one.attributes["name"]] = chosen.attributes["value"]
    return fields


def sent(box: Element) -> bool:
    return box.attributes.get("type") != "checkbox" or "checked" in box.attributes


def usual(box: Element) -> str:
    return "on" if box.attributes.get("type") == "checkbox" else ""


def press(site: Site, page: Element, button: str, fields: dict[str, str] | None = None, without: str = "") -> httpx.Response:
    """Press a button of a page; `fields` are filled in before, one box may be unticked."""
    named = [
        form
        for form in page.all("form")
        for one in form.all("button")
        if button in (one.text, one.attributes.get("aria-label"))
    ]
    assert named, f"no button {button!r}"
    given = fields_of(named[0]) | (fields or {})
    given.pop(without, None)
    if named[0].attributes.get("method") != "post":
        return site.http.get(named[0].attributes["action"], params=given)
    return site.http.post(named[0].attributes["action"].partition("#")[0], data=given, headers={"origin": site.url})


def pressed(site: Site, page: Element, button: str, fields: dict[str, str] | None = None, without: str = "") -> Element:
    answer = press(site, page, button, fields, without)
    assert answer.status_code == 200, answer.text[:2000]
    return read(answer.text)


def added(site: Site, page: Element, kind: str, fields: dict[str, str]) -> Element:
    chosen = pressed(site, page, "Choose", {"kind": kind})
    return pressed(site, chosen, f"Add {kind}", fields)


def document(page: Element) -> Pipeline:
    """Return the pipeline that the page's forms carry."""
    return Pipeline.from_json(json.loads(page.one("input", name="pipeline").attributes["value"]))


def alerts(page: Element) -> list[str]:
    return [one.text for one in page.all("p", role="alert")]


def test_the_editor_is_found_and_asks_what_to_begin_with(site: Site) -> None:
    room = site.page("prepare")
    assert [one.attributes["href"] for one in room.all("a") if one.text == "Open the editor"] == [f"{PROJECT}/prepare/editor"]
    page = read(site.get("prepare/editor").text)
    starts = [option.attributes["value"] for option in page.one("select", name="start").all("option")]
    assert starts[:2] == ["nothing", "suggest"]
    assert any(start.startswith("model:delay@") for start in starts)
    assert "departures@1" in [option.attributes["value"] for option in page.one("datalist").all("option")]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("data=departure&label=late", "did you mean 'departures'"),
        ("data=departures@99", "the newest is departures@"),
        ("data=departures@1&start=pipeline:none", "There is no pipeline 'none'"),
        ("data=departures@1&start=model:delay@99", "There is no version"),
        ("data=departures@1&rows=many", "it says 'many'"),
        ("data=departures@1&rows=99999", "the most is 10,000"),
        ("data=departures@1&label=lates", "did you mean 'late'"),
        ("data=departures@1&label=lates&start=suggest", "did you mean 'late'"),
    ],
)
def test_what_cannot_be_begun_with_is_told_on_the_page(site: Site, query: str, words: str) -> None:
    answer = site.get(f"prepare/editor?{query}")
    assert answer.status_code == 200
    assert any(words in one for one in alerts(read(answer.text))), alerts(read(answer.text))


def test_a_pipeline_is_built_changed_moved_and_saved_and_is_the_json_of_the_written_one(own_site: Site) -> None:
    site = own_site
    page = read(site.get(BEGIN).text)
    assert any("is no number at the end" in one or "cannot be a feature" in one for one in alerts(page))
    page = added(site, page, "keep", {f"{COLUMN}hour": "on", f"{COLUMN}origin": "on", f"{COLUMN}wind_speed": "on"})
    page = added(site, page, "one_hot", {f"{COLUMN}origin": "on", f"{PARAMETER}limit": "2"})
    page = added(site, page, "cyclical", {f"{COLUMN}hour": "on", f"{PARAMETER}period": "24"})
    assert alerts(page) == []
    assert [one.text for one in page.one("section", id="step-2").all("span", class_="tag")] == ["removed", "added", "added"]
    page = pressed(site, page, "Change step 2", {f"{PARAMETER}limit": "3"})
    page = pressed(site, page, "Move step 3 up")
    keep, *_ = document(page).steps
    written = Pipeline((keep, prep.cyclical("hour", 24), prep.one_hot("origin", limit=3)))
    assert document(page).digest == written.digest
    assert "prep.one_hot('origin', limit=3)" in page.one("pre", id="python").text
    answer = press(site, page, "Save", {"save_as": "delay", "note": "three origins"})
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{PROJECT}/prepare/pipelines/delay/1?done=")
    project = find_projects(site.platform, site.actor)[0].id
    [saved] = find_pipelines(site.platform, site.actor, project)
    assert (saved.name, saved.number, saved.note, saved.digest) == ("delay", 1, "three origins", document(page).digest)
    shown = site.page("prepare/pipelines/delay/1")
    assert "three origins" in shown.text
    assert "declared" in shown.text
    again = read(press(site, shown, "Open in the editor", {"data": "departures@1", "label": "late"}).text)
    assert document(again) == load_pipeline(site.platform, site.actor, project, saved)
    assert again.one("input", name="save_as").attributes["value"] == "delay"


def test_the_graph_tells_rows_columns_and_missing_values_and_leads_to_each_step(site: Site) -> None:
    page = added(site, read(site.get(BEGIN).text), "drop", {f"{COLUMN}flight_id": "on"})
    graph = page.one("svg", class_="pipeline")
    assert [one.attributes["href"] for one in graph.all("a")] == ["#raw", "#step-1"]
    assert graph.all("a")[1].attributes["aria-label"] == f"1. drop: {count(1_000)} rows, 6 columns, 0 missing"
    assert page.all("section", id="step-1")


def test_the_same_steps_are_tried_on_other_rows(site: Site) -> None:
    page = added(site, read(site.get(BEGIN).text), "drop", {f"{COLUMN}flight_id": "on"})
    other = pressed(site, page, "Try", {"data": "departures@1", "label": "carrier", "rows": "50"})
    assert document(other) == document(page)
    assert f"1. drop: {count(50)} rows, 6 columns" in other.one("svg", class_="pipeline").attributes["aria-label"]
    assert "late" in other.one("section", aria_labelledby="left").text
    gone = pressed(site, page, "Try", {"data": "departures@77"})
    assert "the newest is departures@" in alerts(gone)[0]
    assert "not tried" in gone.one("section", id="step-1").text


def test_what_is_wrong_stands_at_the_step_with_what_was_filled_in(site: Site) -> None:
    page = added(site, read(site.get(BEGIN).text), "clip", {f"{COLUMN}wind_speed": "on", f"{PARAMETER}lower": "0"})
    wrong = pressed(site, page, "Change step 1", {f"{PARAMETER}lower": "none"})
    assert document(wrong) == document(page)
    step = wrong.one("section", id="step-1")
    assert "The field 'lower' of clip does not read" in alerts(step)[0]
    assert step.one("input", name=f"{PARAMETER}lower").attributes["value"] == "none"
    assert "open" in step.one("details").attributes
    unknown = pressed(site, page, "Choose", {"kind": "log1p"})
    failed = pressed(site, unknown, "Add log1p", {f"{COLUMN}wind_sped": "on"})
    assert "did you mean 'wind_speed'" in alerts(failed.one("section", id="step-2"))[0]
    assert [one.text for one in failed.one("svg", class_="pipeline").all("text")][-1] == "it fails"
    mended = pressed(site, failed, "Change step 2", {f"{COLUMN}wind_speed": "on"}, without=f"{COLUMN}wind_sped")
    assert alerts(mended.one("section", id="step-2")) == []
    empty = pressed(site, unknown, "Add log1p")
    assert document(empty) == document(page)
    assert "it takes 1 or more column names" in alerts(empty.one("section", aria_labelledby="add"))[0]


def test_suggested_steps_and_those_of_a_model_are_begun_with(site: Site) -> None:
    suggested = read(site.get(f"{BEGIN}&start=suggest").text)
    assert "Every step works" in suggested.text
    assert document(suggested).steps[0] == prep.drop("flight_id")
    [way] = [one.attributes["href"] for one in site.page("data/departures/1").all("a") if "in the editor" in one.text]
    assert document(read(site.get(way).text)).steps
    [editor] = [one.attributes["href"] for one in site.page("models/delay/1").all("a") if one.text == "its steps in the editor"]
    page = read(site.get(editor).text)
    assert "Every step works" in page.text
    assert all(step.fitted is None for step in document(page).steps)


def test_what_a_pipeline_promises_of_its_rows_stays_with_it(own_site: Site) -> None:
    project = find_projects(own_site.platform, own_site.actor)[0].id
    promised = (quality.not_null("carrier"),)
    steps = Pipeline((prep.drop("flight_id"),)).to_json()
    save_pipeline(own_site.platform, own_site.actor, project, "kept", steps, checks=promised)
    page = added(own_site, read(own_site.get(f"{BEGIN}&start=pipeline:kept@1").text), "log1p", {f"{COLUMN}distance": "on"})
    assert press(own_site, page, "Save", {"save_as": "kept"}).status_code == 303
    [saved] = find_pipelines(own_site.platform, own_site.actor, project)
    assert (saved.number, saved.checks) == (2, promised)


def test_a_function_is_shown_and_not_run(own_site: Site) -> None:
    def explode(rows: pl.DataFrame) -> pl.DataFrame:
        raise AssertionError("it ran")

    project = find_projects(own_site.platform, own_site.actor)[0].id
    steps = (prep.drop("flight_id"), function_step(explode), prep.log1p("wind_speed"))
    save_pipeline(own_site.platform, own_site.actor, project, "own", Pipeline(steps).to_json())
    page = read(own_site.get(f"{BEGIN}&start=pipeline:own@1").text)
    step = page.one("section", id="step-2")
    assert "The function 'explode' was not tried" in alerts(step)[0]
    assert "it ran" in step.one("pre").text
    assert "not tried" in page.one("section", id="step-3").text
    assert "function" in page.one("section", aria_labelledby="graph").text
    assert "function" in own_site.page("prepare").one("section", aria_labelledby="saved").text
    assert [one.text for one in own_site.page("search?q=own").one("tbody").all("a")] == ["own"]


def test_a_pipeline_with_very_much_code_is_left_to_python(own_site: Site) -> None:
    project = find_projects(own_site.platform, own_site.actor)[0].id
    step = FunctionStep("long", Code(f"TEXT = {'x' * MOST_CHARACTERS!r}\n\n\ndef long(rows):\n    return rows\n", "long"))
    save_pipeline(own_site.platform, own_site.actor, project, "long", Pipeline((step,)).to_json())
    [told] = alerts(read(own_site.get(f"{BEGIN}&start=pipeline:long").text))
    assert "change it in Python" in told


def test_who_only_looks_may_try_and_not_save(own_site: Site) -> None:
    secret = viewer_token(own_site)
    with httpx.Client(base_url=own_site.url, timeout=60) as http:
        http.post("/sign-in", data={"token": secret})
        looking = Site(own_site.url, secret, own_site.platform, own_site.actor, http)
        page = added(looking, read(looking.get(BEGIN).text), "drop", {f"{COLUMN}flight_id": "on"})
        assert document(page).steps == (prep.drop("flight_id"),)
        assert "Your role here only looks" in page.one("section", aria_labelledby="save").text
        fields = fields_of(page.all("form", method="post")[-1]) | {"deed": "save", "save_as": "mine"}
        assert looking.post("prepare/editor", fields).status_code == 403


def test_forms_of_other_sites_and_such_as_fit_nothing_are_refused(own_site: Site) -> None:
    page = added(own_site, read(own_site.get(BEGIN).text), "drop", {f"{COLUMN}flight_id": "on"})
    fields = fields_of(page.all("form", method="post")[-1])
    elsewhere = own_site.post("prepare/editor", fields, headers={"origin": "https://evil.example"})
    assert elsewhere.status_code == 403
    assert own_site.post("prepare/editor", fields | {"form_token": "x"}).status_code == 403
    for wrong in ({"deed": "change:9"}, {"deed": "explode:1"}, {"pipeline": "{"}, {"pipeline": "[]"}, {"deed": "up:x"}):
        assert own_site.post("prepare/editor", fields | wrong).status_code == 400


def test_hostile_names_stay_text(own_site: Site) -> None:
    project = find_projects(own_site.platform, own_site.actor)[0].id
    create_dataset(own_site.platform, own_site.actor, project, "odd")
    rows = pl.DataFrame({HOSTILE: ["a", HOSTILE, "c"], "x": [1.0, None, 3.0], "'\"": [1, 2, 3]})
    append(own_site.platform, own_site.actor, project, "odd", rows)
    begun = own_site.get("prepare/editor?data=odd@1").text
    text = press(own_site, read(begun), "Choose", {"kind": "one_hot"}).text
    page = pressed(own_site, read(text), "Add one_hot", {f"{COLUMN}{HOSTILE}": "on"})
    assert "<script>alert" not in begun + text
    assert document(page).steps[0] == prep.one_hot(HOSTILE)
    assert alerts(page) == []
    assert document(pressed(own_site, page, "Change step 1", {f"{PARAMETER}limit": "9"})).steps[0] == prep.one_hot(
        HOSTILE, limit=9
    )
