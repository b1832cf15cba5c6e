"""The pages of a version that is made of others, and of an alias that moves by itself."""

from dataclasses import replace

import pytest

from modelyard.core import digest_bytes
from modelyard.data import Column
from modelyard.registry import Best, Combining, Composition, Form, Origin, Part, Signature
from modelyard.registry.best import set_best
from modelyard.registry.combining import Combined, add_combination
from modelyard.registry.imports import Import, add_import
from modelyard.registry.service import promote
from modelyard.serving.service import deploy
from modelyard.tenancy.service import find_projects
from modelyard.training import Direction
from tests.console.conftest import Site

SIGNATURE = Signature((Column("pixels", "Array[Float32, 28x28]"),), (Column("share", "Float32"),))
FORM = Form("onnx", digest_bytes(b"digits"), 6, "onnxruntime", latency_us=40.0)
COMPOSITION = Composition(
    Combining.ROUTE,
    (Part("small", 1, "small"), Part("big", 1, "big")),
    Part("small", 1, "small"),
    limits=(0.75,),
    tensors=True,
)


@pytest.fixture
def with_combined(empty_site: Site) -> Site:
    site = empty_site
    [project] = find_projects(site.platform, site.actor)
    who = (site.platform, site.actor, project.id)
    for name in ("small", "big"):
        origin = Origin(f"{name}.onnx", {f"{name}.onnx": digest_bytes(b"digits")})
        add_import(*who, name, Import(origin, SIGNATURE, (FORM,), f"# {name}"))
    form = replace(FORM, name="combined", framework="modelyard")
    made = Combined(COMPOSITION, SIGNATURE, form, checks_green=False, card="# both", metrics={"log_loss": 0.4})
    add_combination(*who, "both", made)
    promote(*who, "both", 1, "champion")
    set_best(*who, "both", "best", Best("log_loss", Direction.MINIMISE, latency_us=500.0, size_bytes=2048))
    deploy(*who, "both", model="both")
    return site


def test_its_page_names_its_members_and_what_each_does(with_combined: Site) -> None:
    page = with_combined.page("models/both/1")
    assert "2 members by route" in page.one("section", aria_label="What it is").text
    parts = page.one("section", aria_labelledby="parts")
    assert [[cell.text for cell in row.all("td")] for row in parts.one("tbody").all("tr")] == [
        ["small", "answers below 0.75"],
        ["big", "answers the rest"],
        ["small", "chooses"],
    ]
    assert [link.text for link in parts.all("a")] == ["small@1", "big@1", "small@1"]
    assert with_combined.get(parts.all("a")[1].attributes["href"]).status_code == 200


def test_the_model_s_page_says_by_what_its_alias_moves(with_combined: Site) -> None:
    page = with_combined.page("models/both")
    assert "combined" in page.one("section", aria_labelledby="versions").text
    told = page.one("section", aria_labelledby="aliases").text
    assert "moves by itself to the best by log loss, of those within 500 µs a row, of at most 2" in told


def test_every_room_shows_it_or_leaves_it_out(with_combined: Site) -> None:
    for room in ("", "models", "prepare", "serve", "serve/both", "monitor", "react", "search?q=both"):
        assert with_combined.get(room).status_code == 200, room
