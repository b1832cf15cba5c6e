"""The console in a real Chromium: found by role and name, without serious axe findings, by keyboard, live, in both themes."""

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from modelyard.core import PageRequest
from modelyard.jobs import JobState, Progress
from modelyard.jobs.service import find, submit
from modelyard.monitoring.labels import labelled_rows
from modelyard.registry.service import get_version
from modelyard.tenancy.service import find_projects
from tests.console.conftest import PROJECT, Site
from tests.console.test_deeds import answer_anew, asked_of

SERIOUS = ("serious", "critical")
PAGES = (
    "", "/data", "/data/departures", "/data/departures?suggest=yes", "/data/departures/1",
    "/data/weather?keep=1&days=0",
    "/data/weather/diff?before=1&after=2", "/lineage?of=file%3Aflights.csv", "/prepare",
    "/prepare/editor?data=departures@1&label=late&start=suggest",
    "/train", "/train/runs/1", "/train/compare?run=1&run=2",
    "/models", "/models/delay", "/models/delay/1", "/serve", "/serve/delay", "/serve/delay/try", "/serve/delay/label",
    "/monitor", "/monitor/arrivals", "/react", "/jobs", "/members", "/settings", "/search?q=delay",
)  # fmt: skip
COLOURS = {"runOnly": ["color-contrast", "link-in-text-block"]}  # what a theme can change


@pytest.fixture(scope="module")  # not for the session: Playwright leaves an event loop running until it is closed
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium_path)
        yield started
        started.close()


def signed_in(browser: Browser, site: Site, *, theme: str = "light", bypass_csp: bool = False) -> BrowserContext:
    context = browser.new_context(
        base_url=site.url,
        color_scheme="dark" if theme == "dark" else "light",
        viewport={"width": 1280, "height": 860},
        bypass_csp=bypass_csp,
    )
    context.set_default_timeout(20_000)
    page = context.new_page()
    page.goto("/sign-in")
    page.get_by_label("Token").fill(site.token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
    page.close()
    return context


@pytest.fixture(scope="module")
def context(browser: Browser, site: Site) -> Iterator[BrowserContext]:
    """Return a context that is signed in, for tests that only read."""
    with signed_in(browser, site) as made:
        yield made


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """Return a page on which no script may fail and no rule of the content policy may be broken."""
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    yield opened
    opened.close()
    assert not wrong


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_serious_accessibility_finding(browser: Browser, site: Site, theme: str) -> None:
    context = signed_in(browser, site, theme=theme, bypass_csp=True)
    page = context.new_page()
    page.goto(f"{PROJECT}/react")
    further = [page.get_by_role("link", name="Promote delay").first.get_attribute("href")]
    page.goto(f"{PROJECT}/monitor/arrivals")
    further.append(page.locator("section[aria-labelledby=windows] tbody a").first.get_attribute("href"))
    page.goto(f"{PROJECT}/train")
    further.append(page.locator("section[aria-labelledby=studies] tbody a").first.get_attribute("href"))
    page.goto(f"{PROJECT}/jobs?state=failed")
    further.append(page.locator("tbody a").first.get_attribute("href"))
    found, axe = [], Axe()
    for address in [*(f"{PROJECT}{one}" for one in PAGES), *further, "/sign-in"]:
        page.goto(str(address))
        for one in axe.run(page, options=COLOURS if theme == "dark" else None).response["violations"]:
            if one["impact"] in SERIOUS:
                found.append(f"{address}: {one['id']}: {one['nodes'][0]['html'][:200]}")
    context.close()
    assert not found, "\n".join(found)


@pytest.mark.parametrize("address", PAGES)
def test_a_page_opens_without_a_broken_script_and_fits_a_narrow_window(page: Page, address: str) -> None:
    page.add_init_script("ResizeObserver.prototype.observe = () => {}")  # the layout holds before any script follows it
    page.goto(f"{PROJECT}{address}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.set_viewport_size({"width": 420, "height": 800})
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0


def test_a_reader_goes_round_the_loop_by_its_names(page: Page) -> None:
    page.goto(PROJECT)
    rooms = page.get_by_role("navigation", name="Life cycle")
    for room in ("Data", "Prepare", "Train", "Models", "Serve", "Monitor", "React", "Overview"):
        rooms.get_by_role("link", name=room).click()
        expect(page.get_by_role("heading", name=room, level=1)).to_be_visible()
    loop = page.get_by_role("group", name="The loop: where the model delay stands in each stage")
    loop.get_by_role("link", name="Serve:").click()
    expect(page.get_by_role("heading", name="delay", level=1)).to_be_visible()


def test_everything_is_reached_by_keyboard(page: Page) -> None:
    page.goto(PROJECT)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("/")
    search = page.get_by_role("textbox", name="Search")
    expect(search).to_be_focused()
    page.keyboard.type("departures")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Search", level=1)).to_be_visible()
    found = page.get_by_role("table").get_by_role("link", name="departures")
    found.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="departures", level=1)).to_be_visible()


def test_runs_are_sorted_and_compared_by_clicks(page: Page) -> None:
    page.goto(f"{PROJECT}/train")
    page.get_by_role("link", name="log loss", exact=True).click()
    expect(page.get_by_role("columnheader", name="log loss")).to_have_attribute("aria-sort", "ascending")
    for box in page.get_by_role("checkbox").all()[:3]:
        box.check()
    page.get_by_role("button", name="Compare the chosen ones").click()
    expect(page.get_by_role("heading", name="Compare runs", level=1)).to_be_visible()
    expect(page.locator("metric-chart canvas")).to_be_visible()
    expect(page.get_by_role("columnheader", name="run ")).to_have_count(6)


def test_a_page_follows_the_platform_without_being_loaded_again(browser: Browser, own_site: Site) -> None:
    context = signed_in(browser, own_site)
    page = context.new_page()
    page.goto(f"{PROJECT}/jobs")
    page.evaluate("window.notLoadedAgain = true")
    filters = page.get_by_role("navigation", name="State").get_by_role("link", name="failed")
    filters.focus()
    project = find_projects(own_site.platform, own_site.actor)[0].id
    submit(own_site.platform, own_site.actor, project, kind="model.score", title="a job made meanwhile", payload={})
    expect(page.get_by_role("link", name="a job made meanwhile")).to_be_visible()
    [running] = find(own_site.platform, own_site.actor, project, PageRequest(), states=[JobState.RUNNING]).items
    with own_site.platform.transaction() as tx:
        tx.jobs.heartbeat(project, running.id, 1, lease_s=600, progress=Progress(0.75, "30,000 of 40,000 rows"))
    expect(page.get_by_text("30,000 of 40,000 rows")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "0.75")
    expect(filters).to_be_focused()
    assert page.evaluate("window.notLoadedAgain") is True
    expect(page.get_by_role("status")).to_have_text("live")
    context.close()


def test_a_page_says_when_the_server_is_away(browser: Browser, own_site: Site) -> None:
    context = signed_in(browser, own_site)
    page = context.new_page()
    page.goto(f"{PROJECT}/jobs")
    context.set_offline(True)
    expect(page.get_by_role("status")).to_have_text("away")
    context.set_offline(False)
    expect(page.get_by_role("status")).to_have_text("live")
    context.close()


def test_a_promotion_is_undone_by_one_click(browser: Browser, own_site: Site) -> None:
    project = find_projects(own_site.platform, own_site.actor)[0].id
    before = get_version(own_site.platform, own_site.actor, project, "delay@champion").number
    context = signed_in(browser, own_site)
    page = context.new_page()
    page.goto(f"{PROJECT}/react?action=promote")
    page.get_by_role("button", name=f"Undo: Promote delay v{before}").click()
    expect(page.get_by_role("main").get_by_role("status")).to_contain_text("Undone")
    context.close()
    assert get_version(own_site.platform, own_site.actor, project, "delay@champion").number < before


def test_predictions_are_labelled_by_clicks(browser: Browser, own_site: Site) -> None:
    answer_anew(own_site)
    context = signed_in(browser, own_site, bypass_csp=True)
    page = context.new_page()
    page.goto(f"{PROJECT}/serve/delay")
    page.get_by_role("link", name="Label", exact=True).click()
    page.get_by_role("button", name="Give me 20").click()
    expect(page.get_by_role("main").get_by_role("status")).to_contain_text("20 more are yours")
    first = asked_of(own_site)[0]
    serious = [one["id"] for one in Axe().run(page).response["violations"] if one["impact"] in SERIOUS]
    page.get_by_role("button", name=f"Yes: {first}").click()
    expect(page.get_by_role("button", name=f"Yes: {first}")).to_have_count(0)
    expect(page.get_by_role("heading", name="What is the truth?")).to_contain_text("19 predictions are yours; 1 labelled")
    context.close()
    assert serious == []
    project = find_projects(own_site.platform, own_site.actor)[0].id
    known = labelled_rows(own_site.platform, project, "delay").filter(id=first)
    assert known["label"].to_list() == [1.0]
