"""The pages of a version that was made elsewhere: it has no run, no rows, no recipe, and says so."""

from dataclasses import replace

import pytest

from modelyard.core import digest_bytes
from modelyard.data import Column
from modelyard.registry import Allowance, Form, Origin, Signature
from modelyard.registry.imports import Import, add_import
from modelyard.registry.service import promote
from modelyard.serving.service import deploy
from modelyard.tenancy.service import find_projects
from tests.console.conftest import Site

SIGNATURE = Signature((Column("pixels", "Array[Float32, 28x28]"),), (Column("digit", "Int64"),))


@pytest.fixture
def with_import(empty_site: Site) -> Site:
    site = empty_site
    [project] = find_projects(site.platform, site.actor)
    origin = Origin("digits.onnx", {"digits.onnx": digest_bytes(b"digits")})
    form = Form("onnx", digest_bytes(b"digits"), 6, "onnxruntime", latency_us=40.0)
    who = (site.platform, site.actor, project.id)
    add_import(*who, "digits", Import(origin, SIGNATURE, (form,), "# digits.onnx", note="from the lab"))
    promote(*who, "digits", 1, "champion")
    deploy(*who, "digits", model="digits")
    return site


def test_its_page_says_where_it_came_from(with_import: Site) -> None:
    page = with_import.page("models/digits/1")
    told = page.one("section", aria_label="What it is").text
    assert "imported" in told
    assert "digits.onnx" in told
    assert digest_bytes(b"digits")[7:19] in told
    assert "from the lab" in told
    assert "Array[Float32, 28x28]" in page.one("section", aria_labelledby="signature").text
    for absent in ("prepare", "params"):
        assert page.all("section", aria_labelledby=absent) == []


def test_its_forms_say_how_near_they_were_held_and_when_they_answer(with_import: Site) -> None:
    site = with_import
    [project] = find_projects(site.platform, site.actor)
    origin = Origin("digits.onnx", {"digits.onnx": digest_bytes(b"digits")})
    exact = Form("onnx", digest_bytes(b"digits"), 6, "onnxruntime", 500, 1e-7, 40.0, 1e-6)
    nearly = replace(exact, name="onnx-int8", max_abs_diff=0.012, tolerance=0.02, approximate=True)
    add_import(site.platform, site.actor, project.id, "digits", Import(origin, SIGNATURE, (exact, nearly), "# digits.onnx"))
    told = site.page("models/digits/2").one("section", aria_labelledby="forms").text
    assert "held to" in told
    assert "1e-06" in told
    assert "2e-02" in told
    assert told.count("only where a deployment names it") == 1


def test_a_makers_code_is_told_with_who_allowed_it(with_import: Site) -> None:
    site = with_import
    assert "maker's code" not in site.page("models/digits/1").one("section", aria_label="What it is").text
    [project] = find_projects(site.platform, site.actor)
    origin = Origin("faces", {"model.py": digest_bytes(b"x")}, Allowance("mem_ann", site.platform.clock()))
    form = Form("native", digest_bytes(b"x"), 6, "python", latency_us=40.0)
    add_import(site.platform, site.actor, project.id, "faces", Import(origin, SIGNATURE, (form,), "# faces"))
    told = site.page("models/faces/1").one("section", aria_label="What it is").text
    assert "it runs its maker's code" in told
    assert "allowed by mem_ann" in told


def test_every_room_shows_it_or_leaves_it_out(with_import: Site) -> None:
    assert "imported" in with_import.page("models/digits").one("tbody").text
    for room in ("", "models", "prepare", "serve", "serve/digits", "monitor", "react", "search?q=digits"):
        assert with_import.get(room).status_code == 200, room
