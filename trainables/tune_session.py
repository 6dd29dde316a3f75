"""The session that a Tune function talks to: each report hands over to the runner and back.

The function runs in a thread of its own, and only while the runner waits for its next report: it
never runs ahead of what its trial was granted. A trial that is stopped is unwound by an exception
out of the `tune.report` in which its function waits, so that `finally` and `with` blocks run.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError
from ray.train import Checkpoint
from ray.tune.result import RESULT_DUPLICATE
from ray.util.queue import Queue

from raysweep.trainables.tune_files import is_local
from raysweep.trials.errors import ReportError, TrainableError
from raysweep.trials.ray_names import private, replace

_SESSION = "ray.train._internal.session:_session"
_PATIENCE = 100
"""Reports of a stopped trial that are refused before its thread is put to sleep for good."""
_log = logging.getLogger(__name__)


class Unwound(SystemExit):
    """Raised out of `tune.report` when the trial has been stopped; Tune raises SystemExit there."""


class Facts(NamedTuple):
    """What `tune.get_context()` tells of a trial.

    Attributes:
        trial_id: the trial's id.
        trial_name: what people call it.
        trial_dir: where it may leave files; absolute.
        experiment_name: the sweep's name.
        trial_resources: what it holds, a `tune.PlacementGroupFactory`, or None.
    """

    trial_id: str
    trial_name: str
    trial_dir: str
    experiment_name: str
    trial_resources: Any


class Row(NamedTuple):
    """One report: its metrics, and the checkpoint that belongs to it, if any."""

    metrics: dict[str, Any]
    checkpoint: Checkpoint | None


class _Raised(NamedTuple):
    error: BaseException | None
    """What ended the function; None: it returned."""


class Session:
    """Stands where Ray's public functions look for the running trial.

    The first group of methods and the attributes are what those functions ask for; `begin`,
    `next` and `close` are the runner's side.

    Args:
        facts: whose session it is.
        loaded_checkpoint: what `tune.get_checkpoint()` gives; after a report with a checkpoint,
            that one.
    """

    # a Tune function is no worker of a distributed training; Ray tells the two apart by world_rank
    world_rank = local_rank = node_rank = local_world_size = world_size = None
    run_id = dataset_shard = metadata = accelerator = None

    def __init__(self, facts: Facts, loaded_checkpoint: Checkpoint | None = None):
        self.trial_id = facts.trial_id
        self.trial_name = facts.trial_name
        self.trial_dir = facts.trial_dir
        self.experiment_name = facts.experiment_name
        self.trial_resources = facts.trial_resources
        self.loaded_checkpoint = loaded_checkpoint
        self._said: SimpleQueue[Row | _Raised] = SimpleQueue()
        self._go: SimpleQueue[bool] = SimpleQueue()
        self._turn = threading.Lock()
        self._thread: _Body | None = None
        self._ended = self._closed = False
        self._refused = 0
        self._relay: _Relay | None = None

    def report(self, metrics: dict[str, Any], checkpoint: Checkpoint | None = None) -> None:
        """What `tune.report` calls: hand `metrics` over, wait until the trial may go on.

        Raises:
            ReportError: the metrics are no dict, or the checkpoint is no folder.
            Unwound: the trial has been stopped.
        """
        thread = threading.current_thread()
        if isinstance(thread, _Body) and thread.session is not self:
            thread.session.refuse()  # left over from a trial that was stopped here before
        if self._closed:
            self.refuse()
        row = _checked(metrics, checkpoint)
        if RESULT_DUPLICATE in metrics:
            return  # how Ray's wrapper of a function says that it has returned
        with self._turn:  # helper threads may report too, one at a time
            if self._closed:
                self.refuse()
            self._said.put(row)
            if not self._go.get():
                raise Unwound

    def refuse(self) -> None:
        """Unwind a thread of a trial that has been stopped; sleep if it will not be unwound."""
        self._refused += 1
        if self._refused > _PATIENCE:
            threading.Event().wait()
        raise Unwound

    def _get_or_create_inter_actor_queue(self) -> Any:
        """Where `ray.tune.integration.ray_train.TuneReportCallback` puts reports of Train's workers."""
        if self._relay is None:
            self._relay = _Relay(self.report)
        return self._relay.queue

    def begin(self, body: Callable[[], object]) -> None:
        """Let `body` run in a thread, from the first call of `next` on."""
        self._thread = _Body(self, body)

    def flush(self) -> None:
        """Hand over what other processes have sent; called in the function's thread at its end."""
        if self._relay is not None:
            self._relay.flush()

    def next(self) -> Row | None:
        """Let the function go on to its next report; None when it has returned.

        Raises whatever ended the function, with the traceback of its own lines.
        """
        if self._ended:
            return None
        said = self._resumed()
        if isinstance(said, Row):
            return said
        self._ended = True
        try:
            if said.error is not None:
                raise said.error
        finally:
            del said  # its traceback leads back here: a cycle would keep the function's memory
        return None

    def close(self, timeout_s: float) -> bool:
        """Unwind the function and wait for its end; whether it has ended.

        One that swallows the exception, or does not come to an end in its `finally`, is left
        behind: its thread is a daemon and its reports are refused, but it keeps its memory.
        """
        thread, self._closed = self._thread, True
        gone = True
        if self._relay is not None:
            self._relay.close()
        if thread is not None and thread.ident is not None:
            self._go.put(False)
            thread.join(timeout_s)
            gone = not thread.is_alive()
        if gone and private(_SESSION) is self:
            replace(_SESSION, None)
        elif not gone:
            _log.warning(
                "trial %s: its function did not end within %g s of being stopped; it stays behind "
                "in a thread, with its memory",
                self.trial_id,
                timeout_s,
            )
        return gone

    def _resumed(self) -> Row | _Raised:
        thread = self._thread
        if thread is None:
            raise TrainableError("the session of a Tune function has not begun")
        if thread.ident is None:
            replace(_SESSION, self)
            thread.start()
        else:
            self._go.put(True)
        return self._said.get()


class _Relay:
    """Reports of other processes: a queue actor of Ray, and a thread that hands them over."""

    def __init__(self, report: Callable[[dict[str, Any]], None]):
        self.queue: Any = Queue(1, actor_options={"num_cpus": 0})
        self._report = report
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="trial-relay")
        self._thread.start()

    def flush(self) -> None:
        """Wait until everything that was put before has been reported; raise what was wrong with it."""
        with contextlib.suppress(RayError):
            self.queue.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End the queue; who still puts something gets an error."""
        ray.kill(self.queue.actor)

    def _run(self) -> None:
        with contextlib.suppress(RayError, Unwound):  # it was closed, or the trial stopped
            while (metrics := self.queue.get()) is not None:
                self._hand_over(metrics)

    def _hand_over(self, metrics: Any) -> None:
        try:
            self._report(metrics)
        except Exception as error:
            self._error = error
            self.close()  # whoever waits to put the next one must not wait for ever


class _Body(threading.Thread):
    """The thread of one trial's function."""

    def __init__(self, session: Session, body: Callable[[], object]):
        super().__init__(daemon=True, name=f"trial-{session.trial_id}")
        self.session = session
        self._body: Callable[[], object] | None = body

    def run(self) -> None:
        """Call the function, and tell the runner how it ended."""
        said = _Raised(None)
        try:
            if self._body is not None:
                self._body()
            self.session.flush()
        except StopIteration:
            pass  # Tune takes it for an end, too
        except SystemExit as leaving:
            if not isinstance(leaving, Unwound) and leaving.code not in (None, 0):
                said = _Raised(leaving)
        except Exception as error:
            said = _Raised(error)
        except BaseException as error:  # in a thread, no Ctrl-C ends up here: the code raised it
            said = _Raised(_as_failure(error))
        finally:
            self._body = None
            self.session._said.put(said)
            del said  # an error's traceback leads back to here


def _as_failure(error: BaseException) -> TrainableError:
    failure = TrainableError(
        f"the training function raised {type(error).__name__}: {error}; raise an Exception to "
        "fail the trial, or return to end it"
    )
    failure.__cause__ = error
    return failure


def _checked(metrics: Any, checkpoint: Any) -> Row:
    if not isinstance(metrics, dict):
        raise ReportError(
            f"tune.report takes a dict of metrics, got {type(metrics).__name__}; report for "
            "example {'loss': 0.5}"
        )
    if checkpoint is None:
        return Row(metrics, None)
    if not isinstance(checkpoint, Checkpoint):
        raise ReportError(
            f"the checkpoint is of type {type(checkpoint).__name__}; make one with "
            "tune.Checkpoint.from_directory(folder)"
        )
    if is_local(checkpoint) and not Path(checkpoint.path).is_dir():
        raise ReportError(f"the checkpoint {checkpoint.path} is no folder; report one that is")
    return Row(metrics, checkpoint)
