"""A large set prepared by the local engine: `python -m bench.data.large_ours FOLDER LEARNED`."""

import sys
from pathlib import Path

from bench.data.pieces import answers, pieces, work
from bench.data.side import take_turns
from modelyard.adapters import open_engine


def main() -> None:
    """Prepare the set into the folder that is named."""
    files = sorted(Path(sys.argv[1]).iterdir())

    def prepare(_: None, target: str) -> None:
        with open_engine("local") as engine:
            answers(engine, work(files, target), pieces(files))

    take_turns(lambda: None, prepare)


if __name__ == "__main__":
    main()
