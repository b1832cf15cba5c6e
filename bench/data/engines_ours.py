"""A set prepared on an engine: `python -m bench.data.engines_ours FOLDER LEARNED TARGET URL`, in the engines' environment."""

import sys
from pathlib import Path

from bench.data.pieces import answers, pieces, work
from bench.data.side import take_turns
from modelyard.adapters import open_engine


def main() -> None:
    """Prepare the set as often as asked."""
    folder, _, target, url = sys.argv[1:]
    files = sorted(Path(folder).iterdir())
    asked, some = work(files, target), pieces(files)
    with open_engine(url) as engine:
        take_turns(lambda: answers(engine, asked, some), lambda rows, path: None)


if __name__ == "__main__":
    main()
