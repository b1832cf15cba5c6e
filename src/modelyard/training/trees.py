"""Whether the trees of a file can be walked: who reads them trusts them, and a hostile one leads outside of its arrays."""

import numpy as np
from numpy.typing import NDArray


def is_tree(children: NDArray[np.int64], nodes: int) -> bool:
    """Return whether a walk from node 0 over `children` stays within `nodes` nodes and ends.

    `children` holds the inner child nodes of all nodes, in any order. Where none is the root and none has two parents, no walk
    from the root meets a node twice.

    >>> is_tree(np.array([1, 2]), 3), is_tree(np.array([1, 0]), 2), is_tree(np.array([1, 1]), 2), is_tree(np.array([7]), 2)
    (True, False, False, False)
    """
    within = bool(((children > 0) & (children < nodes)).all())
    return within and len(np.unique(children)) == len(children)
