"""Works on an engine: `python -m tests.engines.work URL FILE` reads works with their pieces, and writes what became of them."""

import json
import sys
from pathlib import Path

from modelyard.adapters import open_engine


def main(url: str, file: Path) -> None:
    """Have each work done and write the answers beside it."""
    works = json.loads(file.read_text())
    with open_engine(url) as engine:
        answers = [list(engine.each(work, pieces)) for work, pieces in works]
    file.with_suffix(".done").write_text(json.dumps(answers))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
