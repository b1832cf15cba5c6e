"""The one-file report of a version: from the console and the command line, read from disk without a network."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect, sync_playwright
from typer.testing import CliRunner

from modelyard.cli.app import app
from modelyard.console.telling import figure, share
from modelyard.data.profile import CategoryProfile, NumericProfile
from modelyard.data.service import get_version, profile_of
from modelyard.tenancy.service import get_project
from tests.console.conftest import Site
from tests.console.reading import read

WEATHER = "data/weather/2/report?against=1"


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium_path)
        yield started
        started.close()


def test_it_is_one_file_without_script_or_address(site: Site) -> None:
    answer = site.get("data/departures/1/report")
    assert answer.headers["content-disposition"] == 'attachment; filename="departures-1.html"'
    assert "<script" not in answer.text
    assert not re.findall(r"https?://|url\(|@import|<link|<img| href=| src=", answer.text)
    assert answer.text.startswith("<!doctype html>")


def test_it_tells_of_every_column_what_the_profile_has(site: Site) -> None:
    project = get_project(site.platform, site.actor, "flights").id
    version = get_version(site.platform, site.actor, project, "departures@1")
    profile = profile_of(site.platform, site.actor, project, version)
    page = read(site.get("data/departures/1/report").text)
    cards = {
        one.attributes["aria-label"]: one.text for one in page.all("section") if "column" in one.attributes.get("class", "")
    }
    assert list(cards) == [one.name for one in version.schema.columns]
    speed = profile.columns["wind_speed"]
    assert isinstance(speed, NumericProfile)
    for told in ("lowest", "median", "95 %", "highest", "mean", "standard deviation"):
        assert told in cards["wind_speed"]
    assert figure(speed.mean) in cards["wind_speed"]
    assert figure(speed.quantiles[100]) in cards["wind_speed"]
    carrier = profile.columns["carrier"]
    assert isinstance(carrier, CategoryProfile)
    assert f"{carrier.names[0]}{share(carrier.counts[0] / version.rows)}" in cards["carrier"].replace("\n", "")


def test_held_against_another_it_tells_what_moved_most_first(site: Site) -> None:
    page = read(site.get(WEATHER).text)
    distances = [
        float(found[1]) for one in page.all("section") if (found := re.search(r"distance ([0-9.]+) %", one.text)) is not None
        and "column" in one.attributes.get("class", "")
    ]  # fmt: skip
    assert distances == sorted(distances, reverse=True)
    assert distances
    assert "What differs" in page.text
    assert site.get("data/weather/2/report?against=99").status_code == 404


def test_the_pages_lead_to_it(site: Site) -> None:
    for path, href in (
        ("data/departures/1", "departures/1/report"),
        ("data/weather/diff?before=1&after=2", "2/report?against=1"),
    ):
        links = [one.attributes["href"] for one in site.page(path).all("a") if one.text == "as one file"]
        assert [link.endswith(href) for link in links] == [True]


def test_the_command_writes_it_whole_or_not_at_all(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_URL", site.url)
    monkeypatch.setenv("MODELYARD_TOKEN", site.token)
    file = tmp_path / "out" / "weather.html"
    options = [
        "dataset",
        "report",
        "weather@2",
        "--against",
        "weather@1",
        "--html",
        str(file),
        "--project",
        "flights",
        "--json",
    ]
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["version"] == "weather@2"
    written, shown = read(file.read_text(encoding="utf-8")), read(site.get(WEATHER).text)
    assert [one.text for one in written.all("section")] == [one.text for one in shown.all("section")]
    missing = CliRunner().invoke(
        app, [*options[:2], "weather@9", "--html", str(tmp_path / "none.html"), "--project", "flights"]
    )
    assert missing.exit_code != 0
    assert not (tmp_path / "none.html").exists()


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_opens_from_disk_without_a_network(site: Site, browser: Browser, tmp_path: Path, theme: str) -> None:
    file = tmp_path / "weather.html"
    file.write_text(site.get(WEATHER).text, encoding="utf-8")
    context = browser.new_context(color_scheme="dark" if theme == "dark" else "light", viewport={"width": 1280, "height": 900})
    context.set_offline(True)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    expect(page.get_by_role("heading", level=1)).to_contain_text("weather v2")
    expect(page.get_by_role("heading", name="Columns")).to_be_visible()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(19, 20, 22)" if theme == "dark" else "rgb(246, 246, 243)")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = Axe().run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
    assert [url for url in asked if not url.startswith("file:")] == []
    page.screenshot(path=str(tmp_path / f"{theme}.png"), full_page=True)
    context.close()
