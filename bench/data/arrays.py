"""Arrays that sides keep to be compared. NumPy only, for any environment."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def keep_array(made: NDArray[Any], path: str) -> None:
    """Write an array."""
    with Path(path).open("wb") as file:
        np.save(file, made)


def array(file: Path) -> NDArray[np.float64]:
    """Return an array that was kept."""
    with file.open("rb") as content:
        found: NDArray[np.float64] = np.load(content).astype(np.float64)
    return found
