"""What the judge of a canary says at one look."""

import math
from dataclasses import dataclass
from enum import Enum

from modelyard.core import JsonObject


class Verdict(Enum):
    """What the judge says at a look."""

    PROMOTE = "promote"  # shown to be worse by less than the tolerance
    ROLL_BACK = "roll_back"  # shown to be worse
    UNDECIDED = "undecided"  # more labels are needed
    HOLD = "hold"  # still undecided at the cap: a person is asked


@dataclass(frozen=True)
class Judgement:
    """The verdict of one look with its evidence: difference = canary's mean loss minus live's, true within ± half_width."""

    verdict: Verdict
    difference: float
    half_width: float
    canary_rows: int
    live_rows: int
    tolerance: float

    @property
    def why(self) -> str:
        """The evidence in words."""
        low, high = self.difference - self.half_width, self.difference + self.half_width
        if self.live_rows < 2 or self.canary_rows < 2:  # noqa: PLR2004 - fewer have no variance
            return f"{self.canary_rows} canary and {self.live_rows} live labels: too few to compare"
        return (
            f"the canary's loss differs by {self.difference:+.4f}, between {low:+.4f} and {high:+.4f}, "
            f"over {self.canary_rows} canary and {self.live_rows} live labels; tolerance {self.tolerance:g}"
        )

    def to_json(self) -> JsonObject:
        """Return the JSON form, for the record of a decision."""
        finite = self.half_width if math.isfinite(self.half_width) else None
        return {**vars(self), "verdict": self.verdict.value, "half_width": finite, "why": self.why}
