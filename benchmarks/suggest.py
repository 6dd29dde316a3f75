"""Processor time per suggestion, ours and the peers', by results known and parameters, in one run.

    python -m benchmarks.suggest --out benchmarks/results/suggest.json

Every method is given the same random configs of numbers and their losses, makes one suggestion
that is not counted, and then goes on; a suggestion's time is that of asking and of telling its
result. Sizes and methods take turns. A cell ends after `--count` suggestions or after `--limit-s`
seconds of them; one that has not even begun by `--patience-s` is given up: "over limit".

With `--rungs 1,3,9,27` ours are told what ASHA with these rungs would have them told: every trial
reports at the first, one in three at the second as well, and so on, and pauses at its last.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from threading import Event, Timer
from time import process_time as processor_s
from typing import Any, NamedTuple

from benchmarks.peers import Peer
from raysweep.searchers.base import Proposal
from raysweep.searchers.catalog import SEARCHERS, build_searcher
from raysweep.searchers.setting import Setting
from raysweep.trials.goal import Goal
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Outcome, Report, Status, trial_id

Known = list[tuple[dict[str, Any], float]]
_GOAL = Goal((("loss", "min"),))
_ETA = 3
_COLUMNS = "method", "results", "parameters", "mean_ms", "median_ms", "dearest_ms", "suggestions"


class Limits(NamedTuple):
    """When a cell ends."""

    most: int
    limit_s: float
    patience_s: float


def space_of(parameters: int) -> Space:
    """Numbers, every other one on a logarithmic axis."""
    laws: list[dict[str, Any]] = [{"uniform": [0.0, 1.0]}, {"loguniform": [1e-4, 1.0]}]
    return Space.from_dict({f"p{i:02d}": laws[i % 2] for i in range(parameters)})


def results_of(space: Space, count: int) -> Known:
    """Random configs and a bowl with some noise."""
    known: Known = []
    for number in range(count):
        stream = Stream(0, "suggest", number)
        config = space.sample(stream)
        noise = 0.01 * float(stream.generator().standard_normal())
        known.append((config, float(((space.encode(config) - 0.3) ** 2).sum()) + noise))
    return known


def ours(
    name: str, space: Space, known: Known, limits: Limits, rungs: tuple[int, ...] = ()
) -> list[float]:
    """Seconds of each suggestion of one of our searchers."""
    searcher = build_searcher(name, {}, Setting(space, 0, _GOAL, workers=1, levels=rungs))

    def tell(number: int, config: dict[str, Any], loss: float) -> None:
        trial, reached = trial_id(number), 1
        searcher.suggested(trial, config)
        for at, step in enumerate(rungs or (1,)):
            if number % _ETA**at:
                return
            reached = step
            early = loss + 1.0 / step if rungs else loss
            searcher.tell(Report(trial, 1, step, {"loss": early}, early, float(step)))
        searcher.end(trial, Outcome(Status.COMPLETED, reached, loss))

    for number, (config, loss) in enumerate(known):
        tell(number, config, loss)
    spent: list[float] = []
    while not spent or (len(spent) <= limits.most and sum(spent) < limits.limit_s):
        trial = trial_id(len(known) + len(spent))
        start = processor_s()
        answer = searcher.ask(trial, Stream(0, trial, "ask"))
        assert isinstance(answer, Proposal | dict)
        config = answer if isinstance(answer, dict) else answer.config
        tell(len(known) + len(spent), config, float(((space.encode(config) - 0.3) ** 2).sum()))
        spent.append(processor_s() - start)
    return spent[1:] or spent


def theirs(name: str, space: Space, known: Known, limits: Limits) -> list[float]:
    """Seconds of each suggestion of a peer; none if it did not make the second one in time.

    Raises:
        RuntimeError: the peer died by itself.
    """
    peer = Peer(name, space, 0, len(known) + limits.most + 1, known)
    over = Event()

    def give_up() -> None:
        over.set()
        peer.kill()

    alarm = Timer(limits.patience_s, give_up)
    alarm.start()
    spent: list[float] = []
    try:
        config = peer.ask().config
        while len(spent) < limits.most and sum(spent) < limits.limit_s:
            answer = peer.ask(float(((space.encode(config) - 0.3) ** 2).sum()))
            config = answer.config
            spent.append(answer.cpu_s)
    except RuntimeError:
        if not over.is_set():
            raise
    finally:
        alarm.cancel()
        peer.close()
    return spent


def measure(
    methods: list[str],
    sizes: list[int],
    parameters: list[int],
    limits: Limits,
    rungs: tuple[int, ...] = (),
) -> list[dict[str, Any]]:
    """One row for each method and size, printed as it comes."""
    rows = []
    print("".join(f"{name:>14}" for name in _COLUMNS))
    for dims in parameters:
        space = space_of(dims)
        for size in sizes:
            known = results_of(space, size)
            for method in methods:
                spent = (
                    ours(method, space, known, limits, rungs)
                    if method in SEARCHERS
                    else theirs(method, space, known, limits)
                )
                ms = [1e3 * each for each in spent]
                figures = (
                    [statistics.mean(ms), statistics.median(ms), max(ms)] if ms else [None] * 3
                )
                cells = [None if f is None else round(f, 2) for f in figures]
                row = dict(zip(_COLUMNS, (method, size, dims, *cells, len(ms)), strict=True))
                rows.append(row)
                shown = ["over limit" if value is None else value for value in row.values()]
                print("".join(f"{value:>14}" for value in shown), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--methods",
        default="random,tpe,bohb,auto,gp,optuna-tpe,optuna-mtpe,optuna-gp,hyperopt",
        help="in turn",
    )
    parser.add_argument("--sizes", default="100,1000,2000,5000", help="results known")
    parser.add_argument("--parameters", default="5,20")
    parser.add_argument("--count", type=int, default=60, help="suggestions at most")
    parser.add_argument("--limit-s", type=float, default=5.0, help="seconds of them at most")
    parser.add_argument("--patience-s", type=float, default=120.0, help="until the second one")
    parser.add_argument("--rungs", default="", help="steps at which trials report, for ours")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    rows = measure(
        given.methods.split(","),
        [int(n) for n in given.sizes.split(",")],
        [int(n) for n in given.parameters.split(",")],
        Limits(given.count, given.limit_s, given.patience_s),
        tuple(int(step) for step in given.rungs.split(",") if step),
    )
    if given.out:
        given.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
