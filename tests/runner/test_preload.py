"""What a fork server imports before it forks."""

import subprocess
import sys

import pytest

from modelyard.runner.forkserver import PRELOAD

pytestmark = pytest.mark.contract

# In a process of its own: a fork of pytest would have pytest's threads and modules.
FORK_AND_END = """
import importlib, os, sys
import polars
for module in sys.argv[1].split(","):
    try:
        importlib.import_module(module)
    except ImportError as error:
        if error.name.startswith("modelyard"):
            raise
pid = os.fork()
if pid == 0:
    frame = polars.DataFrame({"a": list(range(100_000))}).lazy().group_by(polars.col("a") % 7).len().collect()
    sys.exit(0 if frame.height == 7 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), "onnxruntime" in sys.modules)
"""


def test_what_is_imported_beforehand_leaves_a_forked_process_fit_to_work_and_to_end() -> None:
    command = [sys.executable, "-c", FORK_AND_END, ",".join(PRELOAD)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout.split(), done.returncode) == (["0", "False"], 0), done.stderr
