"""The page on models runs as it stands: a stranger's file is proved by a job in a process of its own, and then answers."""

import re
from pathlib import Path

from tests.journeys.pages import run_page


def test_the_page_on_models_runs(tmp_path: Path) -> None:
    told = run_page("serving/models.md", tmp_path, "-W", "ignore")
    assert told[0] == "(Column(name='X', dtype='Array[Float32, 4]'),)"
    assert told[1] == "# iris.onnx"
    assert told[-3] == "('virginica', 'setosa')"
    assert re.match(r"\(0\.\d+, \d\.\d+", told[-2]), told[-2]
    assert told[-1] == "(1.0, 0.625) in another process: True"
