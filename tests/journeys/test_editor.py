"""A pipeline built from nothing in a browser, mended, saved, and trained with from the SDK."""

from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from modelyard import prep
from modelyard.client import Connection, connect
from modelyard.client.projects import open_project
from tests.journeys.platform import Running, running


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium_path)
        yield started
        started.close()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("editor") / "home") as found:
        yield found


@pytest.fixture
def sdk(platform: Running) -> Iterator[Connection]:
    found = connect(platform.url, platform.token)
    yield found
    found.close()


@pytest.fixture
def page(browser: Browser, platform: Running) -> Iterator[Page]:
    context = browser.new_context(base_url=platform.url)
    context.set_default_timeout(30_000)
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.goto("/sign-in")
    opened.get_by_label("Token").fill(platform.token or "")
    opened.get_by_role("button", name="Sign in").click()
    expect(opened).not_to_have_url(f"{platform.url}/sign-in")
    yield opened
    context.close()
    assert not wrong


def train(run: Any, fit: Any, test: Any) -> Any:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - the worker imports it, not this test

    return LogisticRegression().fit(fit.X, fit.y)


def add(page: Page, kind: str, *columns: str, **fields: str) -> None:
    """Add a step behind the last one."""
    adding = page.get_by_role("region", name="Add a step")
    adding.get_by_role("combobox", name="kind").select_option(kind)
    adding.get_by_role("button", name="Choose").click()
    for column in columns:
        adding.get_by_role("checkbox", name=column).check()
    for name, text in fields.items():
        adding.get_by_role("textbox", name=name).fill(text)
    adding.get_by_role("button", name=f"Add {kind}").click()


def test_a_pipeline_is_built_by_clicks_mended_saved_and_trained_with(page: Page, sdk: Connection) -> None:
    project = open_project(sdk, "tickets")
    rows = pl.DataFrame(
        {
            "ticket": [f"t{n}" for n in range(200)],
            "fare": [None if n % 5 == 0 else n / 4 for n in range(200)],
            "deck": ["A", "B", "C", "B"] * 50,
            "late": [0, 1] * 100,
        }
    )
    data = project.dataset("tickets", key="ticket").append(rows)

    page.goto("/projects/tickets/prepare")
    page.get_by_role("link", name="Open the editor").click()
    page.get_by_role("combobox", name="data", exact=True).fill("tickets@1")
    page.get_by_role("textbox", name="label", exact=True).fill("late")
    page.get_by_role("button", name="Begin").click()
    graph = page.get_by_role("group", name="Pipeline: raw rows")
    expect(graph).to_contain_text("40 missing")

    add(page, "drop", "ticket")
    add(page, "fill_null", "fare", value="none")
    step = page.get_by_role("region", name="2. fill_null")
    expect(step.get_by_role("alert")).to_contain_text("is no number, and the column holds those")
    step.get_by_role("textbox", name="value").fill("0")
    step.get_by_role("button", name="Change step 2").click()
    expect(step.get_by_role("alert")).to_have_count(0)
    fare = step.get_by_role("row", name="fare")
    expect(fare).to_contain_text("20 % missing")
    expect(fare.get_by_role("img")).to_have_count(2)
    add(page, "one_hot", "deck")
    expect(page.get_by_text("Every step works, and 4 features are left.")).to_be_visible()
    graph.get_by_role("link", name="3. one_hot").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#step-3")).to_be_in_viewport()

    code = page.get_by_label("The pipeline in Python").inner_text()
    page.get_by_role("textbox", name="name", exact=True).fill("tickets")
    page.get_by_role("textbox", name="note").fill("by clicks")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").filter(has_text="It is tickets v1.")).to_be_visible()
    expect(page.get_by_label("The pipeline in Python")).to_have_text(code)

    saved = project.saved_pipeline("tickets@1")
    written = project.pipeline(prep.drop("ticket"), prep.fill_null("fare", 0), prep.one_hot("deck"))
    assert saved.version.digest == written.build().digest
    names: dict[str, Any] = {"project": project}
    exec(code, names)  # noqa: S102 - what the page shows is to be pasted
    assert names["features"].build().digest == saved.version.digest
    run = project.trainer(saved, label="late", metric="roc_auc")(train).run(data).wait()
    assert run.record.state.value == "finished"
    assert project.model("tickets").register(run).number == 1
    page.goto("/projects/tickets/models/tickets/1")
    expect(page.get_by_text("declared, model in")).to_be_visible()
    page.get_by_role("link", name="its steps in the editor").click()
    expect(page.get_by_label("The pipeline in Python")).to_have_text(code)
