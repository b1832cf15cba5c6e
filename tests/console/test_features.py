"""How a feature table is looked up, on its dataset's page."""

from dataclasses import replace
from pathlib import Path

from modelyard.data import Column
from modelyard.data.features import Features, declare_lookup
from modelyard.data.features.service import publish
from modelyard.data.service import get_dataset
from modelyard.registry.service import get_version
from modelyard.serving.rules import live_version
from modelyard.serving.service import find_deployments, latest_revision
from modelyard.tenancy.service import find_projects
from tests.console.conftest import Site


def looked_up(site: Site) -> str:
    """Have the live version of the first deployment look the wind up, and return the deployment's name."""
    platform, actor = site.platform, site.actor
    [project] = [one.id for one in find_projects(platform, actor) if one.name == "flights"]
    deployment = find_deployments(platform, actor, project)[0]
    number = live_version(latest_revision(platform, actor, project, deployment.name))
    version = get_version(platform, actor, project, f"{deployment.model}@{number}")
    lookup = declare_lookup(get_dataset(platform, actor, project, "weather"), ["wind_speed"], max_age="6h")
    features = Features((lookup,), (Column("wind_speed", "Float64"),), "scheduled")
    with platform.transaction() as tx:
        tx.models.save_versions(project, [replace(version, features=features)])
    return deployment.name


def test_a_dataset_that_nobody_looks_up_says_nothing_of_it(site: Site) -> None:
    assert not site.page("data/weather").all("section", aria_labelledby="online")


def test_a_datasets_page_tells_who_looks_it_up_and_how_fresh_it_is(own_site: Site) -> None:
    name = looked_up(own_site)
    section = own_site.page("data/weather").one("section", aria_labelledby="online")
    assert "yard feature publish weather" in section.one("p", role="alert").text
    [project] = [one.id for one in find_projects(own_site.platform, own_site.actor) if one.name == "flights"]
    publish(own_site.platform, own_site.actor, project, "weather")
    section = own_site.page("data/weather").one("section", aria_labelledby="online")
    assert "v2 of v2, known until" in section.one("h2").text
    assert not section.all("p", role="alert")
    [row] = section.one("tbody").all("tr")
    assert row.one("th").text == name
    assert [cell.text for cell in row.all("td")][1:] == ["wind_speed", "origin", "6 h", "null"]


def test_a_page_is_shown_while_the_store_is_away(own_site: Site) -> None:
    looked_up(own_site)
    Path(own_site.platform.settings.home, "online.sqlite").write_text("no database, and long enough to be asked for one" * 100)
    page = own_site.page("data/weather")
    assert "does not answer" in page.one("section", aria_labelledby="online").one("p", role="alert").text
    assert page.one("section", aria_labelledby="versions").one("tbody").all("tr")
