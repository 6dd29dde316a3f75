"""Runs one trial after another in this process, step by step, up to what each was granted."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from raysweep.trainables.base import Factory, Trainable
from raysweep.trainables.checkpoint import verify_checkpoint, write_checkpoint
from raysweep.trainables.courier import Phase
from raysweep.trainables.failures import failed, forget, shortened
from raysweep.trainables.first_report import check_first, check_reported
from raysweep.trainables.load import Code
from raysweep.trainables.log import FOLDER as LOGS
from raysweep.trainables.log import TrialLog
from raysweep.trainables.outbox import Outbox
from raysweep.trainables.trial_process import TrialProcess
from raysweep.trainables.values import clean
from raysweep.trials.actions import Finish, Pause, RunTo, Start, Stop, TrialAction
from raysweep.trials.clock import Clock
from raysweep.trials.errors import CheckpointError, NoRoom
from raysweep.trials.events import Checkpointed, Ended, Event, Finished, Paused, Started, Unsaved
from raysweep.trials.names import nested
from raysweep.trials.trial import TrialId

_USERS_ERRORS = (Exception, SystemExit, GeneratorExit)
"""What training code may raise to end its trial; KeyboardInterrupt is meant for the process."""
_MAX_REPORTS = 2_000
"""Reports per exchange, so that a trial without work floods nobody's memory."""
ROOM_PATIENCE_S = 30.0
"""How long a trial that leaves its slot waits for room for its checkpoint on a full disk."""
_LOOK_FOR_ROOM_S = 1.0


class HostSpec(NamedTuple):
    """What a process needs to know to run a sweep's trials.

    Attributes:
        code: the training code.
        sweep: the sweep's directory, below which checkpoints go.
        metrics: names that the first report of a trial must have; without any, a trial may end
            without a report.
        every_s: write a checkpoint when the last one is older than this; None: never.
        every_steps: write a checkpoint at each multiple of this many steps; None: never.
        report_batch_s: how long reports are gathered before they are sent.
        pulse_s: how long a step lasts before a first sign of life is sent, and between two.
        cleanup_s: how long a cleanup may take before its process is given up.
    """

    code: Code
    sweep: str
    metrics: tuple[str, ...]
    every_s: float | None = None
    every_steps: int | None = None
    report_batch_s: float = 0.2
    pulse_s: float = 30.0
    cleanup_s: float = 45.0


class Holds(NamedTuple):
    """What a process holds: a share of one GPU or a number of them, and cores."""

    gpu: float = 0.0
    cpu: float = 1.0


class _Hosted:
    """The trial that the process runs at present."""

    __slots__ = (
        "attempt", "came_from", "elapsed_s", "owes_save", "run_to", "saved", "saved_at_s", "step",
        "trainable", "trial",
    )  # fmt: skip

    def __init__(self, start: Start, trainable: Trainable, now_s: float):
        self.trial: TrialId = start.trial
        self.attempt = start.attempt
        self.trainable = trainable
        self.step = self.came_from = start.step
        self.run_to = start.run_to
        self.elapsed_s = 0.0
        self.saved: tuple[int, str | None] = (start.step, start.checkpoint)
        self.saved_at_s = now_s
        self.owes_save = False
        """Whether it has ended and its last checkpoint is still to be written."""


class Runner:
    """Carries out actions on trials, one trial at a time, in the thread that calls it.

    Args:
        spec: what to run and where checkpoints go.
        clock: for training time and for the age of checkpoints.
        node: the node's name as `Started` reports it.
        holds: what its trials are told that they hold.
        process: brings the process back to its beginning after each trial; None: the process
            has other uses, and is left alone.

    Attributes:
        worn: why the process can run no further trial, "" while it can.
        returned: how many of the last commands were therefore not carried out.
        outbox: what the process has to tell and has not answered yet.
        phase: what it is at, for another thread to see; None: at nothing.
    """

    def __init__(
        self,
        spec: HostSpec,
        clock: Clock,
        node: str = "",
        holds: Holds = Holds(),  # noqa: B008
        process: TrialProcess | None = None,
    ):
        self._spec = spec
        self._sweep = Path(spec.sweep).absolute()  # training code may change the working directory
        self._clock = clock
        self._node, self._holds = node, holds
        self._factory: Factory | None = None
        self._hosted: _Hosted | None = None
        self._leaving: _Hosted | None = None
        self.outbox = Outbox()
        self.phase: Phase | None = None
        self._process = process
        self._log = TrialLog(of_process=process is not None)
        self.worn = ""
        self.returned = 0

    def warm(self) -> None:
        """Import the training code now; what that raises is told by the first trial that needs it."""
        with contextlib.suppress(BaseException):
            self._factory = self._spec.code.load()
        if self._process is not None:
            self._process.imported()

    def exchange(self, commands: Sequence[TrialAction], budget_s: float) -> list[Event]:
        """Carry out `commands` in order, then train until the grant, the end or `budget_s`.

        At its grant a trial stays as it is, in memory, until the next command. A command for a
        trial that is not hosted here is ignored. Events carry `at=0.0`; who receives them knows
        the time. Nothing that the training code raises leaves this method but KeyboardInterrupt.

        A trial that has told of its end is still in memory when this returns: its last checkpoint
        is written and its cleanup called by the next exchange, before all else, so that neither
        can take its reports with it.
        """
        deadline_s = self._clock.now() + budget_s
        self.returned = 0
        with self._log.redirected():
            self._part()
            for number, command in enumerate(commands):
                if not self._carry_out(command):
                    self.returned = len(commands) - number
                    break
            if self._hosted is not None and self._hosted.step < self._hosted.run_to:
                self._train(self._hosted, deadline_s)
        self.phase = None
        return self.outbox.take()[1]

    def _carry_out(self, command: TrialAction) -> bool:
        """Whether the command was carried out; a process that is worn leaves all to the next."""
        if isinstance(command, Start) and not self.worn:
            return self._start(command)
        hosted = self._hosted
        if self.worn:
            return False
        if hosted is None or (hosted.trial, hosted.attempt) != (command.trial, command.attempt):
            return True
        if isinstance(command, RunTo):
            hosted.run_to = max(hosted.run_to, command.step)
        elif isinstance(command, Stop):
            self._leave(hosted)
            self._part()
        elif isinstance(command, Pause | Finish):
            self._save_and_drop(hosted, command)
        return True

    def _start(self, start: Start) -> bool:
        """Whether the trial was begun here: the one before may have worn the process out."""
        if self._hosted is not None:
            self._leave(self._hosted)
        self._part()
        if self.worn:
            return False
        if self._process is not None:
            self._process.begin()
        self._log.aim(self._sweep / LOGS / f"{start.trial}-{start.attempt}.txt")
        self._is_at("setup", start.trial, start.attempt)
        self.outbox.begin(start.trial, start.attempt)
        began_s = self._clock.now()
        try:
            self._hosted = self._set_up(start)
        except _USERS_ERRORS as error:
            self._note_failure(start.trial, start.attempt, error)
            if self._leaving is None:
                self._undo()
            return True
        setup_s = self._clock.now() - began_s
        at = (start.trial, start.attempt, start.step, start.slot, self._node)
        self._tell(Started(0.0, *at, setup_s, *self._holds))
        return True

    def _set_up(self, start: Start) -> _Hosted:
        if self._factory is None:
            self._factory = self._spec.code.load()
        trainable = self._factory()
        trainable.trial_id = start.trial
        trainable.seed = start.seed
        trainable.attempt = start.attempt
        trainable.step_number = start.step
        trainable.gpu, trainable.cpu = self._holds
        try:
            config = start.config
            trainable.setup(dict(config) if trainable.flat_config else nested(config))
            if start.checkpoint is not None:
                _restore(trainable, self._sweep / start.checkpoint)
        except BaseException:
            self._leave(_Hosted(start, trainable, self._clock.now()))
            raise
        return _Hosted(start, trainable, self._clock.now())

    def _train(self, hosted: _Hosted, deadline_s: float) -> None:
        """Step until the grant, the end of the training, a failure, the deadline or enough reports."""
        self._is_at("train", hosted.trial, hosted.attempt)
        try:
            ended = self._steps(hosted, deadline_s)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # such as asyncio.CancelledError
            self._fail(hosted, error)
            return
        if ended:
            hosted.owes_save = hosted.trainable.can_save and hosted.saved[0] != hosted.step
            at = (hosted.trial, hosted.attempt, hosted.step)
            self._tell(Ended(0.0, *at, hosted.owes_save))
            self._leave(hosted)

    def _steps(self, hosted: _Hosted, deadline_s: float) -> bool:
        """The hot loop. True when nothing is left to train."""
        now, trainable, put = self._clock.now, hosted.trainable, self.outbox.report
        saves = self._spec.every_s is not None or self._spec.every_steps is not None
        before_s = now()
        run_to = min(hosted.run_to, hosted.step + _MAX_REPORTS)
        while hosted.step < run_to and before_s < deadline_s:
            report = trainable.step()
            after_s = now()
            hosted.elapsed_s += after_s - before_s
            if report is None:
                check_reported(hosted.step, self._spec.metrics)
                return True
            row = clean(report)
            if hosted.step == hosted.came_from:
                check_first(row, self._spec.metrics)
            step = hosted.step + 1
            put(after_s, step, hosted.elapsed_s, row)
            trainable.step_number = hosted.step = step
            before_s = after_s
            if trainable.has_checkpoint or (saves and self._save_is_due(hosted, after_s)):
                self._checkpoint(hosted)
                self._is_at("train", hosted.trial, hosted.attempt)
                before_s = now()
        return False

    def _save_is_due(self, hosted: _Hosted, now_s: float) -> bool:
        every_s, every_steps = self._spec.every_s, self._spec.every_steps
        due = (every_steps is not None and hosted.step % every_steps == 0) or (
            every_s is not None and now_s - hosted.saved_at_s >= every_s
        )
        return due and hosted.trainable.can_save

    def _checkpoint(self, hosted: _Hosted) -> None:
        """Write a checkpoint of the present step; one that fails costs what it would have saved."""
        try:
            path = self._save(hosted)
        except CheckpointError as error:
            hosted.saved_at_s = self._clock.now()  # as often as ever, not at each step
            self._left_out(hosted, error)
            return
        self._tell(Checkpointed(0.0, hosted.trial, hosted.attempt, hosted.step, path))

    def _save(self, hosted: _Hosted, patience_s: float = 0.0) -> str:
        """Write a checkpoint of the present step; waits so long for room on a full disk."""
        self._is_at("save", hosted.trial, hosted.attempt)
        until_s = self._clock.now() + patience_s
        who = (hosted.trial, hosted.attempt, hosted.step)
        while True:
            try:
                path = write_checkpoint(self._sweep, *who, hosted.trainable.save)
                break
            except NoRoom:
                if self._clock.now() >= until_s:
                    raise
                self._clock.sleep(_LOOK_FOR_ROOM_S)
            except CheckpointError:
                raise
            except _USERS_ERRORS as error:
                raise CheckpointError(f"saving raised {type(error).__name__}: {error}") from error
        hosted.saved = (hosted.step, path)
        hosted.saved_at_s = self._clock.now()
        return path

    def _save_and_drop(self, hosted: _Hosted, command: Pause | Finish) -> None:
        """Yield the slot with a checkpoint of the present step, new unless there is one already."""
        step, path = hosted.saved
        try:
            if step != hosted.step:
                path = self._save(hosted, ROOM_PATIENCE_S) if hosted.trainable.can_save else None
        except CheckpointError as error:
            if isinstance(command, Pause):
                self._fail(hosted, error)
                return
            self._left_out(hosted, error)
            path = None  # it has done its work: what it reported stands
        answer = Paused if isinstance(command, Pause) else Finished
        self._tell(answer(0.0, hosted.trial, hosted.attempt, hosted.step, path))
        self._leave(hosted)

    def _left_out(self, hosted: _Hosted, error: CheckpointError) -> None:
        """A checkpoint that the trial can do without was not written."""
        text = shortened(str(error))
        self._tell(Unsaved(0.0, hosted.trial, hosted.attempt, hosted.step, text))
        print(  # standard error is the trial's log here
            f"raysweep: no checkpoint of {hosted.trial} at step {hosted.step}: {text}",
            file=sys.stderr,
        )

    def _tell(self, event: Event) -> None:
        self.outbox.tell(self._clock.now(), event)

    def _is_at(self, doing: str, trial: TrialId, attempt: int) -> None:
        self.phase = Phase(doing, trial, attempt, self._clock.now())

    def _fail(self, hosted: _Hosted, error: BaseException) -> None:
        self._note_failure(hosted.trial, hosted.attempt, error)
        self._leave(hosted)

    def _note_failure(self, trial: TrialId, attempt: int, error: BaseException) -> None:
        terminated = self._process is not None and self._process.is_terminated()
        self._tell(failed(trial, attempt, error, terminated))
        forget(error)

    def _leave(self, hosted: _Hosted) -> None:
        """All is told of the trial: what is left to do comes with `_part`."""
        self._hosted, self._leaving = None, hosted

    def _part(self) -> None:
        """Write the last checkpoint of the trial that has left, if it owes one, and clean up."""
        leaving = self._leaving
        if leaving is None:
            return
        if leaving.owes_save:
            leaving.owes_save = False
            path = None
            try:
                path = self._save(leaving, ROOM_PATIENCE_S)
            except CheckpointError as error:  # what it learnt is worth having anyway
                self._left_out(leaving, error)
            self._tell(Finished(0.0, leaving.trial, leaving.attempt, leaving.step, path))
        self._is_at("cleanup", leaving.trial, leaving.attempt)
        del leaving
        self._drop()

    def _drop(self) -> None:
        """Let go of the trial that has left and of the memory that it held on a GPU."""
        leaving, self._leaving = self._leaving, None
        if leaving is None:
            return
        _quietly_clean_up(leaving.trainable)
        del leaving
        self._undo()

    def _undo(self) -> None:
        """Undo what a trial that has let go of all it had has left in the process."""
        if self._process is not None:
            self.worn = self._process.end(self._log.out) or ""
        self._log.aim(None)
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            gc.collect()  # cycles may hold tensors; without CUDA memory to win it is too slow
            torch.cuda.empty_cache()


def _restore(trainable: Trainable, folder: Path) -> None:
    verify_checkpoint(folder)
    try:
        trainable.load(folder)
    except CheckpointError:
        raise
    except _USERS_ERRORS as error:
        raise CheckpointError(f"loading {folder} raised {type(error).__name__}: {error}") from error


def _quietly_clean_up(trainable: Trainable) -> None:
    try:
        trainable.cleanup()
    except _USERS_ERRORS:
        return  # the trial has ended; how it tidies up changes nothing about its result
