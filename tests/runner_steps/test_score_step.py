"""The job `model.score`: rows in the object store in, the same rows with their answers out."""

import io

import numpy as np
import polars as pl
import pytest

from modelyard.core import Digest, Problem
from modelyard.jobs.service import submit
from modelyard.registry.service import get_version
from tests.runner_steps.place import START, Place, trips


def ask(place: Place, content: bytes, model: str = "late@champion") -> None:
    """Queue a scoring of rows."""
    [digest] = place.platform.objects.put(place.project, [content])
    submit(*place.who, kind="model.score", title="score", payload={"model": model, "input": digest})


def arrow(rows: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    rows.write_ipc(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("model", ["late@champion", "late@1", "late"])
def test_rows_come_back_with_the_answers_of_the_door_that_serves(place: Place, model: str) -> None:
    rows = trips(300, START, seed=4)
    ask(place, arrow(rows), model)
    result = place.work()
    assert result["rows"] == 300
    [content] = place.platform.objects.get(place.project, [Digest(result["output"])])
    answered = pl.read_ipc(io.BytesIO(content))
    assert answered.select(rows.columns).equals(rows)
    assert answered["model_version"].unique().to_list() == [1]
    version = get_version(*place.who, "late@1")
    assert np.array_equal(answered["probability"].to_numpy(), place.infer(version, rows))


@pytest.mark.parametrize("content", [b"", b"trip,at\n1,2\n", b"ARROW1 broken"])
def test_an_input_that_is_no_arrow_file_is_told_so(place: Place, content: bytes) -> None:
    ask(place, content)
    with pytest.raises(Problem) as told:
        place.work()
    assert told.value.code == "rows.invalid"


def test_a_column_that_is_missing_is_told_by_name(place: Place) -> None:
    ask(place, arrow(trips(3, START).rename({"wind": "win"})))
    with pytest.raises(Problem, match="wind") as told:
        place.work()
    assert told.value.code == "column.missing"
