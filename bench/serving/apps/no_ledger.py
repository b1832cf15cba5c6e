"""Our gateway with a ledger that takes nothing, to see what ours costs: the gateway's own options follow."""

from modelyard.gateway.process import main
from modelyard.gateway.segments import SegmentWriter


def take_nothing(*_: object) -> None:
    """Stand for the writer's `write`."""


if __name__ == "__main__":
    SegmentWriter.write = take_nothing  # type: ignore[assignment,method-assign]
    main()
