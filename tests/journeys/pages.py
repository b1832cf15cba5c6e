"""A page of the documentation as a script: its Python blocks, in order, with the platform inside."""

import os
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks_of(page: str) -> list[str]:
    """Return the Python blocks of a page, named from `docs/` on."""
    return BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))


def run_page(page: str, folder: Path, *options: str) -> list[str]:
    """Run a page in `folder` with options of Python's, and return the lines that it prints."""
    script = folder / "page.py"
    script.write_text("\n".join(blocks_of(page)), encoding="utf-8")
    bare = {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")}
    environment = {**bare, "MODELYARD_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *options, str(script)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
