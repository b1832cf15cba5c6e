"""Pictures are text: what they say aloud, what they escape, how they part."""

import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import polars as pl
import pytest
from markupsafe import Markup

from modelyard.console.charts import (
    Interval,
    Line,
    bars_by_name,
    best_so_far,
    forest,
    histogram,
    histogram_pair,
    line_chart,
    scatter,
    spark,
)
from modelyard.console.lineage_picture import draw_lineage
from modelyard.console.loop_picture import STAGES, Station, draw_loop
from modelyard.console.pipeline_picture import Stop, draw_pipeline
from modelyard.console.scale import TimeScale
from modelyard.console.steps import speed_told
from modelyard.console.timeline import Timeline, draw_timeline
from modelyard.console.traffic import Layer, LossPoint
from modelyard.data.lineage import Edge, Graph, Node
from modelyard.data.profile import profile
from modelyard.prepare import Code, FunctionStep, Step, prep
from modelyard.registry import Form
from modelyard.testing.examples import DIGEST

SPRING = datetime(2013, 4, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HOSTILE = "<script>&\"'"


def label(picture: Markup) -> str:
    """Return what a picture says aloud; it must be well-formed XML."""
    return ElementTree.fromstring(str(picture)).attrib["aria-label"]  # noqa: S314 - of our own making


def test_a_timeline_says_answers_versions_and_loss() -> None:
    starts = tuple(SPRING + n * DAY for n in range(4))
    timeline = Timeline(
        since=SPRING,
        until=SPRING + 4 * DAY,
        starts=starts,
        width=DAY,
        layers=(Layer(1, False, (10, 10, 0, 0)), Layer(2, False, (0, 0, 10, 10)), Layer(2, True, (0, 2, 0, 0))),
        loss=tuple(LossPoint(at, 0.5, 0.02, 10) for at in starts),
        loss_name="log loss",
        marks=(),
        live=2,
        reference=((SPRING, 0.47), (SPRING + 2 * DAY, 0.45)),
    )
    drawn = draw_timeline(timeline)
    assert label(drawn).startswith("01 Apr 2013 to 05 Apr 2013: 42 answers by v1, v2; log loss between 0.500 and 0.500")
    assert drawn.count('class="expected"') == 2
    assert [drawn.count(f'class="{name}"') for name in ("s2", "s3", "s4")] == [1, 1, 1]


@pytest.mark.parametrize("stage", STAGES)
def test_the_loop_says_every_stage_and_escapes_names(stage: str) -> None:
    drawn = draw_loop([Station(one, "ok", HOSTILE, "detail", "/x") for one in STAGES], HOSTILE)
    assert f'aria-label="{stage}: &lt;script&gt;' in drawn
    assert "<script>" not in drawn
    assert HOSTILE in label(drawn)


def test_a_histogram_says_its_largest_values_and_shows_nulls_apart() -> None:
    whole = profile(pl.DataFrame({"origin": ["JFK", "JFK", "LGA", None]}))
    drawn = histogram(whole.columns["origin"], "origin")
    assert label(drawn) == "origin: JFK 50 %, LGA 25 %, null 25 %"
    assert drawn.count('class="bar note"') == 1


def test_many_numbers_are_drawn_by_even_stretches() -> None:
    skewed = profile(pl.DataFrame({"x": [float(n) ** 3 for n in range(2000)]}))
    assert "0" in label(histogram(skewed.columns["x"], "x"))
    first = label(histogram(skewed.columns["x"], "x")).partition(", ")[0]
    assert float(first.split()[-2]) > 30  # a third of the cubes lies in the first stretch


def test_a_pair_says_what_moved_most() -> None:
    reference = profile(pl.DataFrame({"hour": [8, 9, 10, 11] * 50}))
    current = profile(pl.DataFrame({"hour": [12, 13, 10, 11] * 50}), reference)
    told = label(histogram_pair(reference.columns["hour"], current.columns["hour"], "hour"))
    assert "over 11 0 % → 50 %" in told


def test_a_pair_that_was_counted_over_slots_of_its_own_is_drawn_by_value() -> None:
    before = profile(pl.DataFrame({"month": [1, 2, 3] * 50, "origin": ["JFK", "JFK", "LGA"] * 50}))
    after = profile(pl.DataFrame({"month": [1, 2, 4, 4, 4] * 50, "origin": ["LGA", "BOS", "BOS", "BOS", None] * 50}))
    months = bars_by_name(before.columns["month"], after.columns["month"])
    assert [list(side) for side in months] == [["1", "2", "3", "4"]] * 2
    assert [side["4"] for side in months] == [0, 0.6]
    told = label(histogram_pair(before.columns["origin"], after.columns["origin"], "origin", names=("v1", "v2")))
    assert told == "origin, v1 and v2: JFK 66.7 % → 0 %, BOS 0 % → 60 %, null 0 % → 20 %"


def test_a_pair_of_few_values_and_many_is_drawn_by_stretches() -> None:
    few, many = (profile(pl.DataFrame({"x": values})).columns["x"] for values in ([1.0, 2.0] * 50, range(2000)))
    for one, other in ((few, many), (many, few)):
        sides = bars_by_name(one, other)
        assert [round(sum(side.values()), 6) for side in sides] == [1, 1]
        assert list(sides[0]) == list(sides[1])


def test_a_forest_tells_worse_from_good_enough() -> None:
    drawn = forest([Interval("v2", 0.04, 0.01), Interval("v3", -0.01, 0.005), Interval("v4", 0, float("inf"))], 0.02, "x")
    assert drawn.count('class="ci bad"') == 2
    assert drawn.count('class="ci ok"') == 2
    assert "v4: too few labels" in label(drawn)


def test_lineage_stands_in_columns_and_says_its_edges() -> None:
    nodes = (Node("b", "dataset_version", "b v1"), Node("a", "source", HOSTILE), Node("c", "dataset_version", "c v1"))
    drawn = draw_lineage(Graph(nodes, (Edge("a", "b"), Edge("b", "c"))), {"b": "/data/b/1"})
    assert "c v1 was made from b v1" in label(drawn)
    places = [float(one.attrib["x"]) for one in ElementTree.fromstring(str(drawn)).iter("rect")]  # noqa: S314 - as above
    assert len(set(places)) == 3


def test_pictures_of_nothing_say_so() -> None:
    for drawn in (spark([], "loss"), line_chart((), (Line("p50", ()),), "latency"), scatter((), "x", x_name="a", y_name="b")):
        assert "too few" in label(drawn) or "nothing yet" in label(drawn)
    assert "no trial has ended yet" in label(best_so_far([None], smaller=True, label="loss"))


def test_the_best_so_far_only_gets_better() -> None:
    assert "best 0.300 of 4 trials" in label(best_so_far([0.5, None, 0.3, 0.4], smaller=True, label="loss"))
    assert "best 0.500 of 4 trials" in label(best_so_far([0.5, None, 0.3, 0.4], smaller=False, label="auc"))


@pytest.mark.parametrize("days", [0.2, 1, 3, 8, 15, 40, 100, 300, 800])
def test_ticks_of_time_are_round_inside_and_few(days: float) -> None:
    ticks = TimeScale(SPRING, SPRING + timedelta(days=days), 0, 900).ticks()
    assert 2 <= len(ticks) <= 14
    assert all(SPRING <= at <= SPRING + timedelta(days=days) for at, _ in ticks)


def test_a_pipeline_is_drawn_five_in_a_row_with_a_line_from_each_box_to_the_next() -> None:
    stops = [Stop(f"{n}. step", "column <b>", ("9 rows", "no"), "failed" if n == 6 else "", f"#step-{n}") for n in range(7)]
    drawn = str(draw_pipeline(stops))
    assert drawn.count('class="edge"') == 6
    assert drawn.count("<a href=") == 7
    assert drawn.count('class="box failed"') == 1
    assert 'aria-label="6. step: 9 rows, no"' in drawn
    assert "<b>" not in drawn
    boxes = re.findall(r'<rect class="box[^"]*" x="([\d.]+)" y="([\d.]+)"', drawn)
    assert [x for x, _ in boxes[:2]] == [x for x, _ in boxes[5:]]
    assert len({y for _, y in boxes[:5]}) == 1
    assert float(boxes[5][1]) > float(boxes[0][1])


FORM = Form("native", DIGEST, 9, "sklearn", latency_us=400.0)
ONNX = Form("onnx", DIGEST, 9, "onnxruntime", latency_us=30.0)
QUICKEST = Form("onnx-int8", DIGEST, 9, "onnxruntime", latency_us=3.0, approximate=True)


@pytest.mark.parametrize(
    ("steps", "forms", "told"),
    [
        ((prep.drop("id"),), (FORM, ONNX), "declared, model in ONNX"),
        ((prep.drop("id"), FunctionStep("f", Code("", "f"))), (FORM,), "function, model in scikit-learn"),
        (None, (FORM, ONNX), "model pipeline in ONNX"),
        (None, (FORM, QUICKEST), "model pipeline in scikit-learn"),
        (None, (), "of its members"),
    ],
)
def test_the_speed_class_names_what_prepares_a_row_and_what_the_model_runs_in(
    steps: tuple[Step, ...] | None, forms: tuple[Form, ...], told: str
) -> None:
    assert speed_told(steps, forms) == told
