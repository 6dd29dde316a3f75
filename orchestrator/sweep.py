"""A sweep from spec to rest: everything that can be wrong is checked before anything starts."""

from __future__ import annotations

import math
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.cluster.resources import Resources
from raysweep.orchestrator.aside import asking
from raysweep.orchestrator.code_folder import RELATIVE, find_folder, from_sweep
from raysweep.orchestrator.code_identity import check_change, identify
from raysweep.orchestrator.earlier import FILE, digest_of, encoded, kept_earlier, read_earlier
from raysweep.orchestrator.errands import Errands
from raysweep.orchestrator.loop import Loop
from raysweep.orchestrator.rebuild import (
    NO_OBJECTS,
    Objects,
    changed,
    checkpoint_steps,
    new_state,
    replayed,
    rules_of,
)
from raysweep.orchestrator.requests import StopRequests, request_stop
from raysweep.orchestrator.retry import failed_trials
from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.spec_program import program_code
from raysweep.orchestrator.state import SweepState
from raysweep.searchers.setting import Earlier
from raysweep.trainables.checkpoint import tidy_checkpoints
from raysweep.trainables.load import Code, ModuleCode, check_picklable
from raysweep.trainables.runner import HostSpec
from raysweep.trials.actions import DropCheckpoint
from raysweep.trials.clock import Clock, SystemClock
from raysweep.trials.decisions import Verdict
from raysweep.trials.errors import (
    SpecError,
    StoreError,
    StoreFormatError,
    StoreUnwritable,
    TrainableError,
)
from raysweep.trials.events import Closed, Event, Opened, Retried
from raysweep.trials.filesystems import named

if TYPE_CHECKING:
    from raysweep.results.store import Store

_PULSE_S = 30.0
"""How long a step lasts before its process says how busy it is, and between two such signs of life."""
Observer = Callable[[Event, Sequence[Verdict]], None]
__all__ = ["Observer", "Sweep", "request_stop"]


class Sweep:
    """A sweep directory and the means to drive it; made by `create` or `reopen`.

    Attributes:
        path: the sweep directory; `create` does not make it, `run` does.
        spec: what the sweep goes by, with all changes of resumes.
        notes: what the user should know before it runs: training code that is not what it was.
    """

    def __init__(
        self,
        path: Path,
        spec: SweepSpec,
        code: Code,
        clock: Clock | None = None,
        objects: Objects = NO_OBJECTS,
        train: Callable[..., Any] | type[Any] | None = None,
    ) -> None:
        self.path, self.spec, self._objects = path, spec, objects
        self.notes = tuple[str, ...]()
        self._identity = identify(code, spec.folder, train)
        self._code, self._clock = code, clock or SystemClock()
        self._original, self._changes, self._take_over = spec, dict[str, Any](), False
        self._new, self._earlier = True, tuple[Earlier, ...]()
        self._retried: Sequence[Retried] = ()
        self._dropped: list[str] = []

    @classmethod
    def create(
        cls,
        spec: SweepSpec,
        *,
        train: Callable[..., Any] | type[Any] | None = None,
        objects: Objects = NO_OBJECTS,
        clock: Clock | None = None,
    ) -> Sweep:
        """A new sweep at `spec.storage / spec.name`; starts and writes nothing yet.

        Args:
            spec: what to do.
            train: the training code if it is an object and not a `module:name`.
            objects: searcher and scheduler where the spec does not name them.
            clock: for tests.

        Raises:
            TrainableError: the training code cannot be had.
            StoreFormatError: the directory holds another sweep, or something else.
            SpecError: the directory cannot be written, or an earlier sweep that this one starts
                from cannot be read or does not fit.
        """
        path = spec.storage_path / spec.name
        sweep = cls(path, spec, _code(spec, train), clock, objects, train)
        _check_free(path)
        _check_writable(path)
        sweep._earlier = read_earlier(spec)
        if sweep._earlier:
            new_state(spec, objects, sweep._earlier)  # do they fit?
        return sweep

    @classmethod
    def reopen(
        cls,
        path: Path,
        *,
        train: Callable[..., Any] | type[Any] | None = None,
        objects: Objects = NO_OBJECTS,
        changes: Mapping[str, Any] | None = None,
        take_over: bool = False,
        folder: Path | None = None,
        accept_code_change: bool = False,
        retry: Sequence[str] | None = None,
        clock: Clock | None = None,
    ) -> Sweep:
        """The sweep at `path`, to go on with from wherever it stands.

        Args:
            path: the sweep directory.
            train: the training code again, if it was an object.
            objects: searcher and scheduler again, fresh ones, if they were objects.
            changes: dotted keys of the spec to set anew, e.g. `{"budget.trials": 100}`.
            take_over: fence off a driver that is still at work.
            folder: where the training code is; None: where it lies beside the sweep, or else
                where it was last.
            accept_code_change: go on with other training code though the spec forbids it.
            retry: failed trials that get another attempt, by id; empty: all; None: none.
            clock: for tests.

        Raises:
            StoreFormatError: no sweep is there, or a newer raysweep wrote it.
            SpecError: a change that is not allowed, of the training code too where the spec says so.
            TrainableError: the training code cannot be had.
        """
        from raysweep.results.read import read

        results = read(path)
        if by := results.manifest.get("by"):
            raise StoreFormatError(
                f"{path} records a run of {by}, which alone can go on with it: restore it there"
            )
        last = results.opened.code if results.opened else {}
        place = find_folder(path, results.manifest, last, folder)
        original = SweepSpec.from_dict(results.manifest["spec"], place.folder)
        before = results.opened.changes if results.opened else {}
        merged = {**before, **(changes or {})}
        spec = changed(original, merged)
        earlier = kept_earlier(path, results.manifest, original)
        new_state(spec, objects, earlier)  # what is not allowed is told before Ray starts
        sweep = cls(path, spec, _code(spec, train, resumes=True), clock, objects, train)
        policy = "accept" if accept_code_change else spec.code_change
        said = check_change(last, sweep._identity, policy)
        sweep.notes = tuple(text for text in (place.said, said) if text)
        sweep._earlier = earlier
        # as the spec writes them, whole parts: `wall_time: 5m` and `wall_time_s: 300` are one key
        canonical = spec.to_dict()
        sweep._changes = {
            top: canonical[top] for top in sorted({key.split(".")[0] for key in merged})
        }
        sweep._original, sweep._take_over = original, take_over
        sweep._new = False
        if retry is not None:
            sweep._retried = failed_trials(results, retry)
        return sweep

    def run(
        self, *, observe: Observer = lambda event, verdicts: None, handle_signals: bool = True
    ) -> Closed:
        """Run, or go on, until the sweep comes to rest; everything is closed on return.

        Args:
            observe: is shown every event with the verdicts taken on it.
            handle_signals: let SIGINT, SIGTERM and SIGHUP bring the sweep to rest; in another thread
                than the main one they never do.

        Returns:
            Why it came to rest; `exit_code` is 0, 1 (too many failed), 3 (stalled) or 75
            (interrupted; resumable).

        Raises:
            ClusterError: Ray cannot be reached, or can never hold one trial.
            StoreBusy: another driver is at work on this sweep.
            StoreUnwritable: the disk takes nothing. The sweep is resumable.
        """
        from raysweep.cluster import session

        cluster, requests = self.spec.cluster, StopRequests(self.path)
        connection = session.connect(
            cluster.address, num_cpus=cluster.num_cpus, num_gpus=cluster.num_gpus
        )
        hears = handle_signals and threading.current_thread() is threading.main_thread()
        with requests if hears else nullcontext(), connection:
            resources = self._resources()
            with self._opened() as (store, state):
                return self._drive(store, state, resources, requests, observe)

    def _resources(self) -> Resources:
        from raysweep.cluster.nodes import living_nodes

        asked, nodes = self.spec.resources, list(living_nodes().values())
        resources = Resources(**asked.smallest()).validated()
        resources.check_possible(nodes)
        for _, size in asked.shares().sizes[-1:]:
            resources.times(size).check_possible(nodes)
        return resources

    @contextmanager
    def _opened(self) -> Iterator[tuple[Store, SweepState]]:
        """The store, and the state that it records: new, or rebuilt by replay."""
        from raysweep.results.layout import publish
        from raysweep.results.store import Store

        state = new_state(self._original, self._objects, self._earlier)
        if self._new:
            with _refusals_named(self.path, StoreError):
                if self.spec.program is not None and self.spec.program.environment:
                    # it may say more than others should read
                    self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
                store = Store.create(self.path, self._manifest(), clock=self._clock)
                if self._earlier:
                    publish(self.path, FILE, encoded(self._earlier))
        else:
            with _refusals_named(self.path, StoreUnwritable):
                store, recovered = Store.open(
                    self.path, clock=self._clock, take_over=self._take_over
                )
            if recovered.state is not None:
                state.load(recovered.state)
            for _, turn in replayed(self._original, state, recovered.records):
                dropped = (a.path for a in turn.actions if isinstance(a, DropCheckpoint))
                self._dropped.extend(dropped)  # the last driver may have died before it did so
        state.adopt(rules_of(self.spec))
        with closing(store):
            yield store, state

    def _drive(
        self,
        store: Store,
        state: SweepState,
        resources: Resources,
        requests: StopRequests,
        observe: Observer,
    ) -> Closed:
        from raysweep.cluster.ray_pool import RayPool

        spec, origin_s = self.spec, self._clock.now() - state.spend.at
        host = HostSpec(
            code=self._code,
            sweep=str(self.path.resolve()),
            metrics=tuple(name for name, _ in spec.goal.metrics),
            every_s=spec.checkpoint.every_s,
            every_steps=checkpoint_steps(spec),
            pulse_s=min(_PULSE_S, (spec.timeouts.stuck_s or math.inf) / 2),
            cleanup_s=spec.timeouts.cleanup_s,
        )
        pool = RayPool(
            host,
            resources,
            clock=self._clock,
            origin_s=origin_s,
            max_slots=spec.cluster.max_slots,
            fresh_process=spec.cluster.fresh_process,
            stuck_s=spec.timeouts.stuck_s,
            cleanup_s=spec.timeouts.cleanup_s,
        )
        errands = Errands(self.path, observe, lambda: self._clock.now() - origin_s)
        store.tell_waits(errands.say)
        with closing(pool), asking(spec, state.advice, pool.wake) as (propose, answers):
            loop = Loop(
                state,
                pool,
                store,
                clock=self._clock,
                origin_s=origin_s,
                propose=propose,
                answers=lambda at: [*answers(at), *errands.news(at)],
                drop=errands.drop,
                observe=errands.observed,
                asked_to_stop=requests,
            )
            at, wall = state.spend.at, self._clock.wall()
            try:
                while self._dropped:
                    errands.drop(self._dropped.pop())
                host_name = socket.gethostname()
                opened = Opened(at, store.epoch, wall, host_name, self._changes, self._identity)
                closed = loop.run(opened, [each._replace(at=at) for each in self._retried])
            finally:
                errands.finish()
        tidy_checkpoints(self.path)
        return closed

    def _manifest(self) -> dict[str, Any]:
        spec = self.spec
        return {
            "name": spec.name,
            "seed": spec.seed,
            "spec": spec.to_dict(),
            "spec_hash": spec.hash(),
            "folder": str(spec.folder.resolve()),
            RELATIVE: from_sweep(self.path, spec.folder),
            "metrics": dict(spec.goal.metrics),
            "columns": spec.parsed_space.columns(),
            **({"earlier": digest_of(self._earlier)} if self._earlier else {}),
        }


def _code(
    spec: SweepSpec, train: Callable[..., Any] | type[Any] | None, resumes: bool = False
) -> Code:
    if train is not None:
        return check_picklable(train)
    if spec.trainable.startswith("<python:"):
        raise TrainableError(
            f"this sweep ran the Python object {spec.trainable[8:-1]!r}, which is not stored: pass "
            f"it again, raysweep.resume(path, trainable=...)"
        )
    try:
        if spec.program is not None:
            return program_code(spec)
        code = ModuleCode(spec.trainable, str(spec.folder.resolve()))
        code.check()
    except TrainableError as error:
        if not resumes:
            raise
        raise TrainableError(
            f"{error}\nIf the code is elsewhere now, say where by --folder DIR"
        ) from None
    return code


def _check_free(path: Path) -> None:
    from raysweep.results.layout import is_sweep

    if is_sweep(path):
        raise StoreFormatError(
            f"{path} already holds a sweep: go on with it by `raysweep resume {path}`, or give this "
            f"one another name (`name:` in the spec, --name on the command line)"
        )


def _check_writable(path: Path) -> None:
    """Find out now, not after an hour of training, that results cannot be stored."""
    folder = next(each for each in (path, *path.parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SpecError(
            f"{path} cannot be written ({error.strerror}): choose another `storage:`, or mend the "
            f"rights of {folder}"
        ) from None


@contextmanager
def _refusals_named(path: Path, kind: type[StoreError]) -> Iterator[None]:
    """What the system refuses while the directory is made or opened, in a sentence."""
    try:
        yield
    except OSError as error:
        raise kind(
            f"{path} cannot be written: {error.strerror or error} on {named(path)}; make room "
            "there, or mend its rights, and try again"
        ) from error
