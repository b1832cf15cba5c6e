"""What the fork server of versions imports before it forks."""

import subprocess
import sys

import pytest

from modelyard.gateway.forkserver import FORKABLE

pytestmark = pytest.mark.contract

# In a process of its own: a fork of pytest would have pytest's threads and modules.
FORK_AND_PREDICT = """
import os, sys, tempfile
from pathlib import Path
from modelyard.gateway import forkserver
from modelyard.adapters import FRAMEWORK, resolve
name = sys.argv[1]
framework = resolve(FRAMEWORK, name)()
print("onnxruntime" in sys.modules)
pid = os.fork()
if pid == 0:
    import numpy as np
    import polars as pl
    rows = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    late = (rows[:, 0] > 0).astype(int)
    if name == "sklearn":
        from sklearn.ensemble import HistGradientBoostingClassifier as Model
        model = Model(max_iter=3)
    elif name == "xgboost":
        from xgboost import XGBClassifier as Model
        model = Model(n_estimators=3)
    else:
        from lightgbm import LGBMClassifier as Model
        model = Model(n_estimators=3, verbose=-1)
    file = Path(tempfile.mkdtemp()) / "model"
    framework.save(model.fit(rows, late), file)
    share = framework.predict(framework.load(file), rows)
    assert pl.DataFrame({"share": share}).lazy().select(pl.col("share").mean()).collect().height == 1
    os._exit(0 if share.shape == (200,) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.parametrize("framework", sorted(FORKABLE))
def test_a_framework_that_was_imported_before_works_in_a_forked_process(framework: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK_AND_PREDICT, framework], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.stdout.split(), done.returncode) == (["False", "0"], 0), done.stderr
