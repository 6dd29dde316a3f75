"""Which of several results are best when there is more than one objective, all to be minimised.

Notation: n points of m objectives, shape (n, m); a dominates b if it is nowhere worse and somewhere
better. The reference point of a hypervolume is worse than every point that is to count.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def fronts(objectives: Floats) -> Ints:
    """The rank of each point, shape (n,): 0 if nothing dominates it, and so on behind these.

    Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II" (2002), III.A; for
    two objectives in O(n log n) as in Jensen, "Reducing the run-time complexity of multiobjective
    EAs" (2003), II.
    """
    if objectives.shape[1] == 2:
        return _fronts_of_two(objectives)
    n = len(objectives)
    no_worse = np.ones((n, n), dtype=bool)
    for column in objectives.T:
        no_worse &= column[:, None] <= column[None, :]
    dominates = no_worse & ~no_worse.T
    above = dominates.sum(0)
    ranks = np.full(n, -1, dtype=np.int64)
    rank = 0
    while (ranks < 0).any():
        now = (above == 0) & (ranks < 0)
        ranks[now] = rank
        above = above - dominates[now].sum(0)
        rank += 1
    return ranks


def _fronts_of_two(objectives: Floats) -> Ints:
    order = np.lexsort((objectives[:, 1], objectives[:, 0]))
    lowest: list[float] = []  # the least second objective on each front so far, ascending
    ranks: list[int] = []
    last: tuple[float, float] | None = None
    for first, second in objectives[order].tolist():
        if (first, second) != last:  # equal points share a front
            rank = bisect_right(lowest, second)
            lowest[rank : rank + 1] = [second]
            last = (first, second)
        ranks.append(rank)
    placed = np.empty(len(order), dtype=np.int64)
    placed[order] = ranks
    return placed


def front(objectives: Floats) -> npt.NDArray[np.bool_]:
    """Which points nothing dominates, shape (n,)."""
    rows = np.argsort(objectives.sum(axis=1), kind="stable")  # the best first, to drop many early
    place = 0
    while place < len(rows):
        left, point = objectives[rows], objectives[rows[place]]
        kept = (left < point).any(1) | (left == point).all(1)
        place = int(kept[: place + 1].sum())
        rows = rows[kept]
    chosen = np.zeros(len(objectives), dtype=bool)
    chosen[rows] = True
    return chosen


def crowding(objectives: Floats, ranks: Ints | None = None) -> Floats:
    """How far apart each point's neighbours on its front are, shape (n,); infinite at the ends.

    Deb et al. (2002), III.B.

    Args:
        objectives: shape (n, m).
        ranks: the front of each, shape (n,); None: all are on one.
    """
    n, m = objectives.shape
    ranks = np.zeros(n, dtype=np.int64) if ranks is None else ranks
    distance = np.zeros(n)
    for j in range(m if n else 0):
        order = np.lexsort((objectives[:, j], ranks))
        column, rank = objectives[order, j], ranks[order]
        starts = np.flatnonzero(np.diff(rank, prepend=-1))
        ends = np.append(starts[1:], n) - 1
        distance[order[starts]] = distance[order[ends]] = np.inf
        spread = np.repeat(column[ends] - column[starts], ends - starts + 1)
        inner = np.flatnonzero(spread > 0)
        inner = np.setdiff1d(inner, np.concatenate([starts, ends]), assume_unique=True)
        distance[order[inner]] += (column[inner + 1] - column[inner - 1]) / spread[inner]
    return distance


def epsilon_net(objectives: Floats) -> Ints:
    """Rows ordered so that the first few, however many, are spread over all: an ε-net of them.

    The best in the first objective, then always the one that is farthest from the nearest of those
    before it (Clarkson, "Nearest-neighbor searching and metric space dimensions", 2006; for trials
    in Salinas et al., "A multi-objective perspective on jointly tuning hardware and
    hyperparameters", 2021). Objectives count by their range, so that no unit matters, which is
    ours; the first of equals goes first.

    Args:
        objectives: finite, shape (n, m).
    """
    n = len(objectives)
    if n < 3:
        return np.argsort(objectives[:, 0], kind="stable")
    low = objectives.min(0)
    span = objectives.max(0) - low
    scaled = (objectives - low) / np.where(span > 0, span, 1.0)
    order = np.empty(n, dtype=np.int64)
    nearest = np.full(n, np.inf)  # squared distance to the nearest that is placed; -1 once placed
    row = int(objectives[:, 0].argmin())
    for place in range(n):
        order[place] = row
        np.minimum(nearest, ((scaled - scaled[row]) ** 2).sum(1), out=nearest)
        nearest[row] = -1.0
        row = int(nearest.argmax())
    return order


def by_front(objectives: Floats, newest: int) -> Ints:
    """Rows front by front, on each the least crowded first.

    Args:
        objectives: shape (n, m), in the order in which they came.
        newest: how many of the last are looked at; of those before, only who is on the front.
    """
    rows = np.arange(len(objectives))
    if len(rows) > newest:
        rows = rows[front(objectives) | (rows >= len(rows) - newest)]
    ranks = fronts(objectives[rows])
    return np.asarray(rows[np.lexsort((-crowding(objectives[rows], ranks), ranks))])


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
