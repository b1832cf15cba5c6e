"""What the console writes: signed in, from its own pages, by those who may; each deed is the slices' own."""

import re

import httpx
import msgspec
import polars as pl

from modelyard.core import PageRequest
from modelyard.data import CheckOutcome, quality
from modelyard.data.service import append, create_dataset
from modelyard.data.service import get_version as get_dataset_version
from modelyard.data.service import read as read_rows
from modelyard.jobs import JobState
from modelyard.jobs.service import find
from modelyard.monitoring.labels import labelled_rows
from modelyard.monitoring.queue import find_queued
from modelyard.registry.service import find_aliases, get_version
from modelyard.serving.ledger import ledger_table
from modelyard.serving.service import latest_revision
from modelyard.tenancy.service import find_projects
from modelyard.training import RunState
from modelyard.training.service import NewRun, begin, end_badly, get_run, start_runs
from modelyard.wiring.cookie import COOKIE
from tests.console.conftest import PROJECT, Site, viewer_token
from tests.console.reading import read
from tests.console.test_pages import links


def test_without_a_token_every_page_leads_to_the_sign_in(site: Site) -> None:
    answer = httpx.get(f"{site.url}{PROJECT}/train?sort=x")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=%2Fprojects%2Fflights%2Ftrain%3Fsort%3Dx"
    page = httpx.get(f"{site.url}{answer.headers['location']}")
    assert read(page.text).one("input", name="next").attributes["value"] == f"{PROJECT}/train?sort=x"


def test_signing_in_sets_a_cookie_that_scripts_and_other_sites_never_see(site: Site) -> None:
    answer = httpx.post(f"{site.url}/sign-in", data={"token": site.token, "next": f"{PROJECT}/jobs"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{PROJECT}/jobs")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}={site.token};")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie


def test_a_wrong_token_is_refused_in_the_same_words_and_sets_nothing(site: Site) -> None:
    answer = httpx.post(f"{site.url}/sign-in", data={"token": "yard_wrong"})
    assert answer.status_code == 401
    assert "unknown, revoked or expired" in read(answer.text).one("p", role="alert").text
    assert "set-cookie" not in answer.headers


def test_signing_in_never_leads_to_another_site(site: Site) -> None:
    for elsewhere in ("https://evil.example/", "//evil.example/", "/\\evil.example"):
        answer = httpx.post(f"{site.url}/sign-in", data={"token": site.token, "next": elsewhere})
        assert answer.headers["location"] == "/"


def test_signing_out_forgets_the_token(own_site: Site) -> None:
    token = own_site.form_token
    answer = own_site.http.post("/sign-out", data={"form_token": token}, headers={"origin": own_site.url})
    assert answer.headers["location"] == "/sign-in"
    assert own_site.get().status_code == 303


def test_a_form_of_another_site_or_without_its_token_is_refused(own_site: Site) -> None:
    [job] = links(own_site, "jobs?state=running", r"/jobs/job_")
    path = job.removeprefix(f"{PROJECT}/") + "/cancel"
    refused = [
        own_site.post(path, {"form_token": "wrong"}),
        own_site.post(path, {"form_token": ""}),
        own_site.post(path, headers={"origin": "https://evil.example"}),
        own_site.post(path, headers={"origin": "null"}),
        own_site.post(path, headers={"sec-fetch-site": "cross-site"}),
    ]
    assert [answer.status_code for answer in refused] == [403] * len(refused)
    states = [one.cancel_requested for one in find(own_site.platform, own_site.actor, project(own_site), PageRequest()).items]
    assert not any(states)


def test_a_viewer_sees_no_button_and_is_refused(own_site: Site) -> None:
    with httpx.Client(base_url=own_site.url) as http:
        http.post("/sign-in", data={"token": viewer_token(own_site)})
        looks = Site(own_site.url, "", own_site.platform, own_site.actor, http)
        [job] = links(looks, "jobs?state=running", r"/jobs/job_")
        assert not [one for one in looks.page(job).all("button") if one.text == "Cancel"]
        answer = looks.post(job.removeprefix(f"{PROJECT}/") + "/cancel")
    assert answer.status_code == 403
    assert "needs the role trainer" in read(answer.text).text


def test_a_job_is_cancelled_and_a_failed_one_retried(own_site: Site) -> None:
    [running] = links(own_site, "jobs?state=running", r"/jobs/job_")
    [failed] = links(own_site, "jobs?state=failed", r"/jobs/job_")
    assert own_site.post(running.removeprefix(f"{PROJECT}/") + "/cancel").status_code == 303
    assert own_site.post(failed.removeprefix(f"{PROJECT}/") + "/retry").status_code == 303
    jobs = {one.id: one for one in find(own_site.platform, own_site.actor, project(own_site), PageRequest()).items}
    assert jobs[running.rpartition("/")[2]].cancel_requested  # type: ignore[index]
    assert jobs[failed.rpartition("/")[2]].state is JobState.QUEUED  # type: ignore[index]


def test_an_approval_is_recorded_and_opens_the_gate(own_site: Site) -> None:
    fields = {"alias": "champion", "reason": "looked at the slices"}
    closed = own_site.post("models/crew-risk/1/promote", {"alias": "champion"})
    assert closed.status_code == 409
    assert "does not let version 1 through" in read(closed.text).text
    assert own_site.post("models/crew-risk/1/approve", fields).status_code == 303
    assert own_site.post("models/crew-risk/1/promote", {"alias": "champion"}).status_code == 303
    [alias] = find_aliases(own_site.platform, own_site.actor, project(own_site), "crew-risk")
    assert alias.version == 1


def test_an_approval_without_a_reason_is_refused(own_site: Site) -> None:
    assert own_site.post("models/crew-risk/1/approve", {"alias": "champion", "reason": " "}).status_code == 400


def test_a_promotion_is_undone_and_the_page_says_so(own_site: Site) -> None:
    before = get_version(own_site.platform, own_site.actor, project(own_site), "delay@champion").number
    forms = [one.attributes["action"] for one in own_site.page("react?action=promote").one("main").all("form")]
    [undoable] = [action for action in forms if action.endswith("/undo")]
    answer = own_site.post(undoable.removeprefix(f"{PROJECT}/"))
    assert answer.status_code == 303
    after = get_version(own_site.platform, own_site.actor, project(own_site), "delay@champion").number
    assert after < before
    assert latest_revision(own_site.platform, own_site.actor, project(own_site), "delay").routes[0].version == after
    told = own_site.page(answer.headers["location"])
    assert re.search(r"Undone: champion is v\d again", told.one("p", role="status").text)
    assert "undone" in told.one("section", aria_labelledby="done").text
    assert own_site.post(undoable.removeprefix(f"{PROJECT}/")).status_code == 409


def test_a_deployment_is_rolled_back(own_site: Site) -> None:
    before = latest_revision(own_site.platform, own_site.actor, project(own_site), "delay")
    assert own_site.post("serve/delay/roll-back").status_code == 303
    assert latest_revision(own_site.platform, own_site.actor, project(own_site), "delay").number > before.number


def test_the_owner_of_an_embedded_server_visits_without_signing_in(empty_site: Site) -> None:
    assert empty_site.get("/").headers["location"] == PROJECT
    assert not empty_site.page().all("form", action="/sign-out")


def project(site: Site):  # type: ignore[no-untyped-def]
    """Return the id of the only project."""
    return find_projects(site.platform, site.actor)[0].id


def test_versions_are_dropped_as_the_page_showed_before(own_site: Site) -> None:
    ports, actor, where = own_site.platform, own_site.actor, project(own_site)
    create_dataset(ports, actor, where, "dumps")
    for start in (0, 5):
        append(ports, actor, where, "dumps", pl.DataFrame({"n": range(start, 9)}), whole=True)
    own_site.platform.clock.advance(days=100)  # type: ignore[attr-defined]
    assert not own_site.page("data/dumps").all("form", action=f"{PROJECT}/data/dumps/vacuum")
    section = own_site.page("data/dumps?keep=1&days=90").one("section", aria_labelledby="retention")
    assert [row.all("td")[2].text for row in section.one("tbody").all("tr")] == ["kept", "dropped"]
    form = section.one("form", action=f"{PROJECT}/data/dumps/vacuum")
    assert form.one("button").text.startswith("Free ")
    fields = {box.attributes["name"]: box.attributes["value"] for box in form.all("input")}
    assert own_site.post("data/dumps/vacuum", fields).status_code == 303
    rows = own_site.page("data/dumps").one("section", aria_labelledby="versions").one("tbody").all("tr")
    assert [row.one("th").text for row in rows] == ["v2", "v1 dropped"]
    assert "Its rows are gone" in own_site.page("data/dumps/1").one("p", role="note").text
    assert own_site.get("data/dumps/diff?before=1&after=2").status_code == 410
    for wrong in ({"keep": "0"}, {"keep": "x"}, {"days": "-1"}, {"days": "9999999"}):
        assert own_site.post("data/dumps/vacuum", {**fields, **wrong}).status_code == 400
        asked = "&".join(f"{name}={value}" for name, value in {"keep": "1", **wrong}.items())
        assert own_site.get(f"data/dumps?{asked}").status_code == 400


def test_what_a_live_model_stands_on_is_told_to_be_held(own_site: Site) -> None:
    at = (own_site.platform, own_site.actor, project(own_site))
    rows = read_rows(*at, get_dataset_version(*at, "departures")).head(200).collect()
    append(*at, "departures", rows, whole=True)
    own_site.platform.clock.advance(days=1)  # type: ignore[attr-defined]
    table = own_site.page("data/departures?keep=1&days=0").one("section", aria_labelledby="retention").one("tbody")
    [kept, held] = table.all("tr")
    assert (kept.all("td")[2].text, held.all("td")[2].text) == ("kept", "held")
    assert "delay@2 is champion" in held.text


def test_a_run_shows_what_was_refused(own_site: Site) -> None:
    ports, actor, where = own_site.platform, own_site.actor, project(own_site)
    old = get_run(ports, actor, where, "1")
    [run] = start_runs(ports, actor, where, [NewRun(recipe=old.recipe, data=old.data)])
    begin(ports, actor, where, run.id)
    found = [
        CheckOutcome(quality.between("temp", 0, 90), 7, ({"_row": 3, "temp": -4.5},)),
        CheckOutcome(quality.row_count(9, None), 0, found="2,400 rows"),
    ]
    problem = {"code": "checks.refused", "what": "The rows break it", "why": "", "next_step": ""}
    detail = {"outcomes": msgspec.to_builtins(found)}
    end_badly(ports, actor.member, where, run.id, RunState.FAILED, {**problem, "detail": detail})
    page = own_site.page(f"train/runs/{run.number}")
    told = [row.text for row in page.one("section", aria_labelledby="checks").one("tbody").all("tr")]
    assert told[0].startswith("between(temp): low 0, high 907 rows failedfails the run")
    assert "-4.5" in told[0]
    assert "2,400 rows" in told[1]
    assert not own_site.page("train/runs/1").all("section", aria_labelledby="checks")


def test_a_run_is_examined_at_the_press_of_a_button(own_site: Site) -> None:
    answer = own_site.post("train/runs/2/examine")
    assert answer.status_code == 303
    [job] = find(own_site.platform, own_site.actor, project(own_site), kinds=["run.examine"]).items
    assert answer.headers["location"].partition("?")[0].endswith(f"/jobs/{job.id}")
    assert job.payload["run"] == get_run(own_site.platform, own_site.actor, project(own_site), "2").id


def test_a_snapshot_is_taken_at_the_press_of_a_button_where_there_is_a_source(own_site: Site) -> None:
    assert own_site.page("data/planes").all("form", action=f"{PROJECT}/data/planes/snapshot")
    assert not own_site.page("data/departures").all("form", action=f"{PROJECT}/data/departures/snapshot")
    answer = own_site.post("data/planes/snapshot")
    assert answer.status_code == 303
    [job] = find(own_site.platform, own_site.actor, project(own_site), kinds=["dataset.snapshot"]).items
    assert answer.headers["location"].partition("?")[0].endswith(f"/jobs/{job.id}")
    assert own_site.page(f"jobs/{job.id}").one("a", href=f"{PROJECT}/data/planes").text == "Its dataset"
    assert own_site.post("data/departures/snapshot").status_code == 404
    with httpx.Client(base_url=own_site.url) as http:
        http.post("/sign-in", data={"token": viewer_token(own_site)})
        looks = Site(own_site.url, "", own_site.platform, own_site.actor, http)
        assert not looks.page("data/planes").all("form", action=f"{PROJECT}/data/planes/snapshot")
        assert looks.post("data/planes/snapshot").status_code == 403


def test_suggested_checks_are_taken_over_as_they_were_chosen_and_that_is_on_record(own_site: Site) -> None:
    assert not own_site.page("data/departures").all("section", aria_labelledby="suggested")
    form = own_site.page("data/departures?suggest=yes").one("section", aria_labelledby="suggested")
    rows = {row.one("th").text: row for row in form.one("tbody").all("tr")}
    told = ["not null(origin)", next(one for one in rows if one.startswith("between(wind_speed): low 0, high"))]
    assert "lie from" in rows[told[1]].text
    boxes = [rows[one].one("input").attributes for one in told]
    answer = own_site.post("data/departures/checks", {box["name"]: box["value"] for box in boxes})
    assert answer.status_code == 303
    page = own_site.page(answer.headers["location"])
    assert "2 checks will judge the batches to come" in page.one("p", role="status").text
    assert all(one in page.one("section", aria_labelledby="checks").text for one in told)
    left = own_site.page("data/departures?suggest=yes").one("section", aria_labelledby="suggested").text
    assert "not null(temp)" in left
    assert "not null(origin)" not in left
    with own_site.platform.transaction() as tx:
        [fact] = tx.events.read(project(own_site), kinds=["dataset.changed"])
    assert (fact.subject, fact.actor) == ("departures", own_site.actor.member)
    assert fact.data["added"][0] == "not_null(origin)"
    assert own_site.post("data/departures/checks", {"check.1": "{}"}).status_code == 400
    assert own_site.post("data/departures/checks", {"form_token": "wrong"}).status_code == 403


def answer_anew(site: Site) -> None:
    """Have the deployment answer thirty rows whose labels nobody knows yet."""
    rows = labelled_rows(site.platform, project(site), "delay").tail(30).drop("label", "label_time")
    fresh = rows.with_columns(pl.concat_str(pl.lit("new-"), "id").alias("id"), pl.col("input.wind_speed") + 0.05)
    site.platform.lake.append(project(site), ledger_table("delay"), fresh, commit="fresh")


def asked_of(site: Site) -> list[str]:
    """Return the predictions that the visitor is asked about."""
    body = site.page("serve/delay/label").one("section", aria_labelledby="asked").all("tbody")
    return [row.one("th").attributes["title"] for row in body[0].all("tr")] if body else []


def test_predictions_are_given_out_labelled_and_skipped_on_a_page(own_site: Site) -> None:
    ports, actor, where = own_site.platform, own_site.actor, project(own_site)
    answer_anew(own_site)
    assert asked_of(own_site) == []
    answer = own_site.post("serve/delay/label/ask", {"by": "uncertain"})
    assert "20%20more" in answer.headers["location"]
    first, second, third, *others = asked_of(own_site)
    assert len(others) == 17
    assert own_site.post("serve/delay/label", {"prediction": first, "value": "1"}).status_code == 303
    own_site.post("serve/delay/label", {"prediction": second, "skip": "1"})
    assert asked_of(own_site) == [third, *others]
    labels = dict(labelled_rows(ports, where, "delay").select("id", "label").iter_rows())
    assert (labels[first], labels[second]) == (1.0, None)
    refused = own_site.post("serve/delay/label", {"prediction": third, "value": "late"})
    assert (refused.status_code, "cannot be kept" in refused.text) == (400, True)
    assert asked_of(own_site) == [third, *others]
    assert own_site.post("serve/delay/label/ask", {"by": "guess"}).status_code >= 400
    assert actor.member in {one.holder for one in find_queued(ports, actor, where, "delay")}
