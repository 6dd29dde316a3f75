"""Which of several results are best when there is more than one objective, all to be minimised.

Notation: n points of m objectives, shape (n, m); a dominates b if it is nowhere worse and somewhere
better. The reference point of a hypervolume is worse than every point that is to count.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def fronts(objectives: Floats) -> npt.NDArray[np.int64]:
    """The rank of each point, shape (n,): 0 if nothing dominates it, and so on behind these.

    Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II" (2002), III.A.
    """
    n = len(objectives)
    ranks = np.full(n, -1, dtype=np.int64)
    if n == 0:
        return ranks
    no_worse = (objectives[:, None, :] <= objectives[None, :, :]).all(-1)
    better = (objectives[:, None, :] < objectives[None, :, :]).any(-1)
    dominates = np.asarray(no_worse & better)
    above = dominates.sum(0)
    rank = 0
    while (ranks < 0).any():
        front = (above == 0) & (ranks < 0)
        ranks[front] = rank
        above = above - dominates[front].sum(0)
        rank += 1
    return ranks


def front(objectives: Floats) -> npt.NDArray[np.bool_]:
    """Which points nothing dominates, shape (n,)."""
    if objectives.shape[1] == 2:
        order = np.lexsort((objectives[:, 1], objectives[:, 0]))
        chosen = np.zeros(len(objectives), dtype=bool)
        lowest, last = np.inf, None
        for row in order:
            point = tuple(objectives[row])
            if point[1] < lowest or point == last:
                chosen[row], lowest, last = True, point[1], point
        return chosen
    return np.array([not _dominated(point, objectives) for point in objectives], dtype=bool)


def _dominated(point: Floats, others: Floats) -> bool:
    return bool(((others <= point).all(1) & (others < point).any(1)).any())


def crowding(objectives: Floats) -> Floats:
    """How far apart each point's neighbours on its front are, shape (n,); infinite at the ends.

    For points of one front; Deb et al. (2002), III.B.
    """
    n, m = objectives.shape
    distance = np.zeros(n)
    for j in range(m):
        order = np.argsort(objectives[:, j], kind="stable")
        column = objectives[order, j]
        spread = column[-1] - column[0]
        distance[order[[0, -1]]] = np.inf
        if n > 2 and spread > 0:
            distance[order[1:-1]] += (column[2:] - column[:-2]) / spread
    return distance


def hypervolume(objectives: Floats, reference: Floats) -> float:
    """The volume that the points dominate up to `reference`, shape (m,); exact.

    By a sweep for two objectives, by inclusion of one point after the other (While, Bradstreet &
    Barone, "A fast way of calculating exact hypervolumes", 2012) for more.
    """
    inside = objectives[(objectives < reference).all(1)]
    if len(inside) == 0:
        return 0.0
    inside = inside[front(inside)]
    if inside.shape[1] == 1:
        return float(reference[0] - inside.min())
    if inside.shape[1] == 2:
        ordered = inside[np.argsort(inside[:, 0], kind="stable")]
        ceilings = np.r_[reference[1], ordered[:-1, 1]]
        return float(((reference[0] - ordered[:, 0]) * (ceilings - ordered[:, 1])).sum())
    ordered = inside[np.argsort(inside[:, -1], kind="stable")]
    total = 0.0
    for index, point in enumerate(ordered):
        behind = np.maximum(ordered[index + 1 :], point)
        total += float(np.prod(reference - point)) - hypervolume(behind, reference)
    return total


def contributions(objectives: Floats, reference: Floats) -> Floats:
    """The volume that each point adds to all the others, shape (n,)."""
    whole = hypervolume(objectives, reference)
    rows = np.arange(len(objectives))
    return np.array([whole - hypervolume(objectives[rows != row], reference) for row in rows])
