"""Every page over a filled platform: what it tells, that it is live, quick to skip, and escapes what people wrote."""

import re

import pytest

from tests.console.conftest import A_DAY, PROJECT, WEEKS, Site
from tests.console.filled import HOSTILE, INPUTS
from tests.console.reading import read

ROOMS = ("", "data", "prepare", "train", "models", "serve", "monitor", "react", "jobs", "members", "settings", "search?q=delay")
HEADS = ("Overview", "Data", "Prepare", "Train", "Models", "Serve", "Monitor", "React", "Jobs", "Members", "Settings", "Search")


def links(site: Site, path: str, pattern: str) -> list[str]:
    """Return the addresses on a page that match."""
    found = [link.attributes.get("href", "") for link in site.page(path).all("a")]
    return list(dict.fromkeys(href for href in found if re.search(pattern, href)))


@pytest.mark.parametrize(("path", "head"), list(zip(ROOMS, HEADS, strict=True)))
def test_a_room_has_its_name_its_place_in_the_navigation_and_no_dead_link_to_a_room(site: Site, path: str, head: str) -> None:
    page = site.page(path)
    assert page.one("h1").text == head
    assert page.one("title").text.startswith(head)
    current = page.all("a", aria_current="page")
    assert [one.text.rstrip("0123456789") for one in current] == ([head] if head != "Search" else [])


def test_every_link_of_every_room_leads_to_a_page(site: Site) -> None:
    seen = set()
    for room in ROOMS:
        for href in links(site, room, r"^/projects/flights"):
            path = href.partition("#")[0]
            kind = re.sub(r"[0-9].*|alert_.*|dec_.*|job_.*|study_.*", "", path)
            if kind not in seen:
                seen.add(kind)
                assert site.get(path).status_code == 200, path
    assert len(seen) > 25


def test_the_overview_tells_where_each_model_stands_and_what_happened(site: Site) -> None:
    page = site.page()
    loops = page.all("svg", class_="loop")
    assert [one.attributes["aria-label"] for one in loops] == [
        "The loop: where the model delay stands in each stage",
        "The loop: where the model crew-risk stands in each stage",
    ]
    stations = loops[0].all("a")
    assert [one.attributes["aria-label"].partition(":")[0] for one in stations] == [
        "Data", "Prepare", "Train", "Models", "Serve", "Monitor", "React",
    ]  # fmt: skip
    told = page.one("svg", class_="timeline").attributes["aria-label"]
    assert "answers by v1, v2" in told
    assert "log loss between" in told
    assert page.one("section", aria_labelledby="deployments").one("tbody").all("tr")[0].text.startswith("delayv")
    assert "crew-risk v1 → champion" in page.one("section", aria_labelledby="needs").text


def test_a_chosen_range_is_in_the_address_and_changes_the_picture(site: Site) -> None:
    year, day = site.page("?range=1y"), site.page("?range=24h")
    assert year.one("nav", aria_label="Time range").one("a", aria_current="true").text == "1 y"
    assert day.one("nav", aria_label="Time range").one("a", aria_current="true").text == "24 h"
    assert (
        year.one("svg", class_="timeline").attributes["aria-label"]
        != day.one("svg", class_="timeline").attributes["aria-label"]
    )


def test_a_dataset_version_shows_schema_profile_checks_and_lineage(site: Site) -> None:
    page = site.page("data/departures/1")
    rows = page.one("section", aria_labelledby="columns").one("tbody").all("tr")
    assert [row.one("th").text for row in rows][:3] == ["flight_id key", "scheduled time", "origin"]
    assert "LGA" in rows[2].one("svg").attributes["aria-label"]
    told = page.one("svg", class_="lineage").attributes["aria-label"]
    assert "departures v1 was made from weather v1" in told
    assert "departures v1 was made from flights.csv" in told
    checks = {row.one("th").text: row.text for row in page.one("section", aria_labelledby="checks").one("tbody").all("tr")}
    assert "blocks the batch" in checks["row count: low 100, high null"]
    assert "2,400 rows" in checks["row count: low 100, high null"]
    assert "greenquarantines the row" in checks["one of(origin): values ['EWR', 'JFK', 'LGA']"]
    assert re.search(r"the mean is \d.*warns", checks["mean between(wind_speed): low 0, high 5"])


def test_lineage_leads_from_a_file_to_what_was_answered(site: Site) -> None:
    page = site.page("lineage?of=file%3Aflights.csv&way=down")
    kinds = [row.all("td")[0].text for row in page.one("section", aria_labelledby="things").one("tbody").all("tr")]
    assert {"source", "dataset version", "run", "model version", "deployment", "predictions"} <= set(kinds)
    assert "departures v1 was made from flights.csv" in page.one("svg", class_="lineage").attributes["aria-label"]
    assert "gopher" in site.page("lineage?of=gopher%3Ax").one("p", role="alert").text
    assert "file:…" in site.page("lineage").one("section", aria_labelledby="ask").text


def test_two_versions_are_shown_beside_each_other(site: Site) -> None:
    page = site.page("data/weather/diff?before=1&after=2")
    told = page.one("section", aria_labelledby="rows").one("svg").attributes["aria-label"]
    assert told == "Rows: added 3, removed 0, changed 9; 3 in all"
    assert "wind_speed 9" in page.one("section", aria_labelledby="cells").one("svg").attributes["aria-label"]
    moved = page.one("section", aria_labelledby="moved")
    assert "9 cells differ" in moved.text
    assert "v1 and v2" in moved.all("svg")[0].attributes["aria-label"]
    cells = [one.text for one in page.one("section", aria_labelledby="changed").one("tbody").all("tr")[0].all("td")]
    assert (cells[0], cells[2], cells[4]) == ("JFK", "wind_speed", "0.5")
    assert HOSTILE in page.one("section", aria_labelledby="added").text
    other_way = site.page("data/weather/diff?before=2&after=1").one("section", aria_labelledby="rows").one("svg")
    assert other_way.attributes["aria-label"] == "Rows: added 0, removed 3, changed 9; 3 in all"


def test_versions_to_compare_are_chosen_on_the_pages_of_dataset_and_version(site: Site) -> None:
    for path, chosen in (("data/weather", ["1", "2"]), ("data/weather/1", ["1", "2"]), ("data/weather/2", ["1", "2"])):
        form = site.page(path).one("form", aria_label="Compare two versions")
        assert form.attributes["action"] == f"{PROJECT}/data/weather/diff"
        assert [one.attributes["value"] for one in form.all("input")] == chosen
    assert not site.page("data/departures/1").all("form", aria_label="Compare two versions")


def test_a_version_that_is_not_there_is_told_on_the_page_of_two(site: Site) -> None:
    answer = site.get("data/weather/diff?before=1&after=7")
    assert answer.status_code == 404
    assert "There is no weather@7" in answer.text


def test_a_dataset_shows_its_quarantine_with_reasons(site: Site) -> None:
    page = site.page("data/departures")
    assert "120 rows" in page.one("section", aria_labelledby="quarantine").text
    assert "one_of" in page.one("section", aria_labelledby="quarantine").one("tbody").text


def test_a_dataset_shows_the_batches_that_were_stopped_with_what_each_failed(site: Site) -> None:
    [row] = site.page("data/departures").one("section", aria_labelledby="stopped").one("tbody").all("tr")
    assert "one_of(origin" in row.text
    assert "120 rows failed" in row.text
    assert "mean_between" not in row.text, "a warning stops nothing"


def test_a_stream_shows_what_was_no_row_and_where_it_is_read_on(site: Site) -> None:
    page = site.page("data/clicks")
    [row] = page.one("section", aria_labelledby="quarantine").one("tbody").all("tr")
    assert "clicks/0/7" in row.text
    assert HOSTILE in row.text
    assert "it is no JSON" in row.text
    assert '"next":{"0":8}' in page.one("section", aria_label="What it is").text


def test_runs_are_filtered_and_sorted_by_the_address(site: Site) -> None:
    def shown(path: str) -> list[float]:
        page = site.page(path)
        heads = [one.text.split(" ")[0] for one in page.one("section", aria_labelledby="runs").one("thead").all("th")]
        place = heads.index("log")
        rows = page.one("section", aria_labelledby="runs").one("tbody").all("tr")
        cells = [[part for part in row.parts if not isinstance(part, str)][place].text for row in rows]
        return [float(cell) for cell in cells if cell != "—"]

    assert shown("train?sort=log_loss") == sorted(shown("train"))
    assert shown("train?sort=-log_loss") == sorted(shown("train"), reverse=True)
    below = shown("train?where=log_loss+%3C+0.48")
    assert below
    assert all(one < 0.48 for one in below)
    head = site.page("train?sort=log_loss").one("th", aria_sort="ascending").one("a")
    assert head.attributes["href"] == f"{PROJECT}/train?sort=-log_loss"


def test_a_filter_that_cannot_be_read_is_told_and_shows_all_runs(site: Site) -> None:
    page = site.page("train?where=better+please")
    assert "the form is METRIC > NUMBER" in page.one("p", role="alert").text
    assert len(page.one("section", aria_labelledby="runs").one("tbody").all("tr")) > 5


def test_runs_are_compared_and_the_best_is_marked(site: Site) -> None:
    page = site.page("train/compare?run=1&run=2&run=3")
    row = next(one for one in page.one("section", aria_labelledby="metrics").one("tbody").all("tr") if "log loss" in one.text)
    values = [float(cell.text.split()[0]) for cell in row.all("td")]
    assert row.all("td")[values.index(min(values))].text.endswith("best")
    chart = page.one("metric-chart").attributes["data"]
    assert '"name": "run 1"' in chart
    assert '"steps": [0, 1, 2' in chart


def test_a_run_shows_what_it_was_made_of(site: Site) -> None:
    page = site.page("train/runs/1")
    assert page.one("section", aria_labelledby="params").one("th").text == "family"
    assert {one.text for one in page.one("section", aria_labelledby="artifacts").all("a")} == {"model", "pipeline"}
    assert "python" in page.one("section", aria_labelledby="environment").text
    assert "fitted on 1,920 rows" in page.one("log-tail").text


def test_a_run_shows_what_harms_it_and_which_rows_to_look_at(site: Site) -> None:
    harm = site.page("train/runs/1").one("section", aria_labelledby="harm")
    worst, other, unmeasured = (row.text for row in harm.all("tbody")[0].all("tr"))
    assert worst.startswith("no temp80")
    assert worst.endswith("harmful")
    assert HOSTILE in other
    assert other.endswith("not shown to harm")
    assert unmeasured.endswith("more fits would reach it")
    assert [row.text for row in harm.all("tbody")[1].all("tr")] == ["relabel0.97f1710", "fix0.5no tempf290null"]
    assert not site.page("train/runs/6").all("section", aria_labelledby="harm"), "it failed"


def test_a_study_shows_its_best_trial(site: Site) -> None:
    [study] = links(site, "train", r"/train/studies/")
    page = site.page(study)
    assert re.search(r"best 0\.\d+ of 12 trials", page.one("svg", class_="lines").attributes["aria-label"])
    best = [row for row in page.one("section", aria_labelledby="trials").one("tbody").all("tr") if "best" in row.text]
    assert len(best) == 1


def test_a_model_shows_what_is_live_and_each_demand_of_its_gate(site: Site) -> None:
    page = site.page("models/delay")
    assert re.search(r"champion is v\d", page.one("section", aria_labelledby="aliases").text)
    gate = page.one("section", aria_labelledby="gate-champion").text
    assert all(demand in gate for demand in ("better", "checks", "latency", "parity"))


def test_a_version_shows_forms_slices_signature_and_card(site: Site) -> None:
    page = site.page("models/delay/1")
    assert "onnxruntime" in page.one("section", aria_labelledby="forms").text
    assert "origin = EWR" in page.one("section", aria_labelledby="slices").text
    assert "Datetime[UTC]" in page.one("section", aria_labelledby="signature").text
    assert page.one("section", aria_labelledby="card").one("b").text == "over 15 minutes late"


def test_a_deployment_shows_versions_rollouts_and_revisions(site: Site) -> None:
    page = site.page("serve/delay")
    routes = page.one("section", aria_labelledby="routes").one("tbody").all("tr")
    assert sum(int(re.sub(r"\D", "", row.all("td")[1].text)) for row in routes) == WEEKS * 7 * A_DAY
    assert {row.all("td")[0].text for row in routes} >= {"live", "canary"}
    forms = page.one("section", aria_labelledby="forms").one("tbody").all("tr")
    assert [row.text for row in forms if "answers" in row.text], "one of them is loaded"
    assert page.one("section", aria_labelledby="rollouts").one("tbody").all("tr")
    assert "p99" in page.one("svg", class_="lines").attributes["aria-label"]


def test_a_deployment_shows_what_was_not_answered_and_what_its_shadows_say(site: Site) -> None:
    page = site.page("serve/delay")
    rows = [row.text for row in page.one("section", aria_labelledby="failures").one("tbody").all("tr")]
    assert [row.startswith("column.invalid") for row in rows] == [True, False]
    assert "before one was asked" in rows[1]
    [shadow] = page.one("section", aria_labelledby="shadows").one("tbody").all("tr")
    assert shadow.text.startswith("v2")
    assert "less what callers got" in shadow.one("svg").attributes["aria-label"]


def test_try_it_is_filled_with_the_newest_prediction_and_keeps_what_was_typed(site: Site) -> None:
    page = site.page("serve/delay/try")
    fields = {
        one.attributes["name"]: one.attributes["value"] for one in page.all("input") if one.attributes["name"][:6] == "input."
    }
    assert len(fields) == len(INPUTS)
    assert all(fields.values())
    told = site.post("serve/delay/try", {**fields, "input.temp": "12.5"})
    assert told.status_code == 200
    shown = read(told.text)
    assert "The gateway does not answer" in shown.one("section", aria_labelledby="answer").text
    assert shown.one("input", name="input.temp").attributes["value"] == "12.5"
    wrong = read(site.post("serve/delay/try", {**fields, "input.temp": "warm"}).text)
    assert "'temp' is no number" in wrong.one("section", aria_labelledby="answer").text


def test_a_window_shows_reference_and_current_side_by_side(site: Site) -> None:
    [first, *_] = links(site, "monitor/arrivals", r"/monitor/arrivals/2013")
    pairs = site.page(first).all("svg", class_="pair")
    assert pairs
    assert "→" in pairs[0].attributes["aria-label"]


def test_a_decision_shows_evidence_and_the_story_of_its_cause(site: Site) -> None:
    page = site.page(links(site, "react?action=canary", r"/react/decisions/")[-1])
    assert "gate" in page.one("section", aria_labelledby="gate").text.lower()
    assert len(page.one("section", aria_labelledby="chain").all("li")) >= 2


def test_a_job_shows_its_progress_and_lines(site: Site) -> None:
    [running] = links(site, "jobs?state=running", r"/jobs/job_")
    page = site.page(running)
    assert page.one("progress").attributes["value"] == "0.4"
    assert [line.text for line in page.one("log-tail").all("span")][-1] == "part 4 of 10: 4,000 rows answered"


def test_the_search_finds_by_name_number_and_id(site: Site) -> None:
    assert [one.text for one in site.page("search?q=weather").one("tbody").all("th")] == ["weather"]
    assert site.page("search?q=run+3").one("tbody").all("th")[0].text == "run 3"
    [running] = links(site, "jobs?state=running", r"/jobs/job_")
    job = running.rpartition("/")[2]
    assert [one.one("a").attributes["href"] for one in site.page(f"search?q={job}").one("tbody").all("th")] == [running]
    assert "Nothing is called" in site.page("search?q=nosuchthing").one("main").text


@pytest.mark.parametrize("path", ["jobs", "models/delay/1", "data/departures", "train/runs/6", f"search?q={HOSTILE}"])
def test_what_people_wrote_is_shown_as_text_and_never_as_markup(site: Site, path: str) -> None:
    text = site.get(path).text
    assert "alert(&#39;x&#39;)" in text or "alert(&#x27;x&#x27;)" in text
    assert HOSTILE not in text
    assert all(
        script.attributes.get("src", "").startswith("/static/") and not script.text for script in read(text).all("script")
    )


def test_a_live_page_is_told_when_nothing_changed(site: Site) -> None:
    main = site.page().one("main")
    seen = re.search(r'"X-Seen": "([^"]+)"', main.attributes["hx-headers"])
    assert seen is not None
    assert site.get("", **{"x-seen": seen[1]}).status_code == 204
    assert site.get("", **{"x-seen": "older"}).status_code == 200
    assert main.attributes["hx-trigger"] == "every 2s"


def test_an_unknown_thing_is_a_page_that_suggests_the_nearest(site: Site) -> None:
    answer = site.get("models/delai")
    assert answer.status_code == 404
    assert "did you mean 'delay'?" in read(answer.text).text


def test_every_page_carries_the_security_headers(site: Site) -> None:
    for path in ("", "models/nosuch", "/sign-in"):
        headers = site.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "style=" not in site.get(path).text


@pytest.mark.parametrize("path", ROOMS)
def test_a_room_of_an_empty_project_says_what_fills_it(empty_site, path: str) -> None:  # type: ignore[no-untyped-def]
    page = empty_site.page(path)
    if path not in ("members", "settings"):
        assert page.one("main").all("p", class_="empty")
    if not path.startswith(("members", "settings", "search")):
        assert page.one("main").all("code")
