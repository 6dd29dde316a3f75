"""The connection to Ray: an embedded local one, or a cluster. Only here is the environment read."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import logging
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import raysweep
from raysweep.cluster.driver_path import job_config
from raysweep.cluster.reaper import MARK
from raysweep.cluster.reaper import __file__ as REAPER
from raysweep.cluster.shared_ray import Shared
from raysweep.trials.errors import ClusterError
from raysweep.trials.ray_names import replace

_OBJECT_STORE_BYTES = 128 * 2**20
_LISTEN_S = 10.0
"""How long a cluster may take to take up a connection."""
_LONGEST_TEMP = 38
"""Ray's sockets lie some 60 characters below it, and a socket's path may have 107."""
_INNER = "r"
"""Ray opens its folder to all users of the machine, so it lies in one that is open to us only."""
_CLUSTERS = "ray._private.ray_constants:ENABLE_RAY_CLUSTER"
_ENVIRON = os.environ  # noqa: TID251  # this is the module that reads it


class Session(NamedTuple):
    """A connection to Ray.

    Attributes:
        address: of the cluster's GCS, host:port.
        embedded: whether this process started the cluster and will end it.
        temp_dir: where Ray keeps its logs, None when attached.
        attached: the address by which this process was attached, "" if it was not by us.
    """

    address: str
    embedded: bool
    temp_dir: Path | None
    attached: str = ""


_SHARED = Shared[Session]()


@contextmanager
def connect(
    address: str | None = None,
    *,
    num_cpus: int | None = None,
    num_gpus: int | None = None,
    resources: Mapping[str, float] | None = None,
    object_store_bytes: int = _OBJECT_STORE_BYTES,
    runtime_env: dict[str, Any] | None = None,
) -> Iterator[Session]:
    """Connect to Ray for as long as the block lasts.

    Args:
        address: None for `$RAY_ADDRESS` (set inside a Ray job) or else an embedded Ray; "local"
            for an embedded one; "auto" or host:port to attach to a cluster.
        num_cpus: cores of an embedded Ray; None: those of the machine.
        num_gpus: GPUs that an embedded Ray counts, also where there are none; None: real ones.
        resources: further resources of an embedded Ray.
        object_store_bytes: shared memory of an embedded Ray; trials need little.
        runtime_env: Ray's runtime environment of the workers, when attached.

    A Ray that the program has connected this process to is used as it is, and left as it is. Blocks
    that overlap, in whatever threads, share one connection, which the last of them ends. An
    embedded Ray listens on the loopback interface only, with a token of its own, reports nothing to
    anybody, and is gone with this process, however that ends.

    Raises:
        ClusterError: Ray cannot be started, there is none at `address`, or this process has a
            connection for another sweep that is not what is asked for here.
    """
    where = address or _ENVIRON.get("RAY_ADDRESS") or "local"
    options = {"num_cpus": num_cpus, "num_gpus": num_gpus, "resources": resources}

    def make() -> AbstractContextManager[Session]:
        if (foreign := _foreign()) is not None:
            return nullcontext(foreign)
        if where == "local":
            return _embedded({**options, "object_store_memory": object_store_bytes})
        return _attached(where, runtime_env)

    with _SHARED.use(make, lambda session: _check_alike(session, where, options)) as session:
        yield session


def _foreign() -> Session | None:
    """The connection that the program made by itself, by `ray.init`."""
    import ray

    if not ray.is_initialized():
        return None
    return Session(ray.get_runtime_context().gcs_address, False, None)


def _check_alike(session: Session, where: str, options: Mapping[str, Any]) -> None:
    """Refuse to share a connection that is not what a second sweep of the process asks for.

    Raises:
        ClusterError: says in what they differ.
    """
    import ray

    advice = "run it in a process of its own, or after the other"
    if session.embedded != (where == "local"):
        if not session.embedded and not session.attached:
            return  # the program's own, which all use as it is
        has = "an embedded Ray" if session.embedded else f"the Ray at {session.address}"
        raise ClusterError(
            f"this process is connected to {has} for another sweep, and this one asks for {where!r}; "
            f"{advice}"
        )
    if not session.embedded:
        if where not in (session.attached, session.address):
            raise ClusterError(
                f"this process is connected to the Ray at {session.attached} for another sweep, and "
                f"this one asks for {where!r}; {advice}"
            )
        return
    total = ray.cluster_resources()
    named = {"num_cpus": "CPU", "num_gpus": "GPU"}
    asked = {named[name]: options[name] for name in named if options[name] is not None}
    for name, amount in {**asked, **(options["resources"] or {})}.items():
        if total.get(name, 0) != amount:
            raise ClusterError(
                f"this process runs an embedded Ray with {total.get(name, 0):g} {name} for another "
                f"sweep, and this one asks for {amount:g}; give both the same, call ray.init() first "
                f"with what both need, or {advice}"
            )


@contextmanager
def _embedded(options: dict[str, Any]) -> Iterator[Session]:
    folder = _temp_dir()
    with (
        _reaped(folder),
        _environment({**_embedded_environment(), MARK: str(folder)}),
        _loopback(),
        _ray(
            "an embedded Ray cannot be started",
            address="local",
            include_dashboard=False,
            _temp_dir=str(folder / _INNER),
            _node_ip_address="127.0.0.1",
            **options,
        ) as gcs_address,
    ):
        yield Session(gcs_address, True, folder)


@contextmanager
def _loopback() -> Iterator[None]:
    """Let Ray take 127.0.0.1 for this node's address; then its servers listen nowhere else."""
    before = replace(_CLUSTERS, False)
    try:
        yield
    finally:
        replace(_CLUSTERS, before)


@contextmanager
def _reaped(folder: Path) -> Iterator[None]:
    """Have the session cleared away, by a process that outlives this one if it must."""
    reaper = subprocess.Popen(
        [sys.executable, "-I", str(Path(REAPER).resolve()), str(folder), str(os.getpid())],
        stdin=subprocess.PIPE,
        start_new_session=True,  # out of the reach of Ctrl-C
    )
    try:
        yield
    finally:
        if reaper.stdin is not None:
            reaper.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            reaper.wait(timeout=15.0)


@contextmanager
def _attached(address: str, runtime_env: dict[str, Any] | None) -> Iterator[Session]:
    if not _is_installed():
        runtime_env = {"py_modules": [raysweep], **(runtime_env or {})}
    _check_listening(address)
    what = (
        f"there is no Ray that answers at {address!r}; start one with `ray start --head`, or leave "
        "the address out for an embedded one. If it asks for a token, set RAY_AUTH_MODE=token and "
        "RAY_AUTH_TOKEN here as there"
    )
    with _ray(what, address=address, runtime_env=runtime_env) as gcs_address:
        yield Session(gcs_address, False, None, address)


def _check_listening(address: str) -> None:
    """Refuse at once an address where nobody listens: Ray would try for minutes.

    Raises:
        ClusterError: nobody does, or the address is not of a kind that we can attach to.
    """
    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if "://" in address or not (colon and port.isdecimal()):
        raise ClusterError(
            f"cannot attach to {address!r}: give host:port of the cluster's GCS (6379 unless set "
            'otherwise), "auto" on one of its machines, or "local" for an embedded Ray'
        )
    try:
        socket.create_connection((host, int(port)), timeout=_LISTEN_S).close()
    except OSError as error:
        raise ClusterError(
            f"there is no Ray that answers at {address!r} ({error}); start one with `ray start "
            "--head`, or leave the address out for an embedded one"
        ) from None


@contextmanager
def _ray(failure: str, **options: Any) -> Iterator[str]:
    """`ray.init` and `ray.shutdown`, quietly; gives the GCS's address."""
    import ray

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = job_config()
            ray.init(log_to_driver=False, logging_level=logging.ERROR, job_config=config, **options)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError, OSError) as error:
        ray.shutdown()
        raise ClusterError(f"{failure}: {str(error)[:1000]}") from error
    try:
        yield str(ray.get_runtime_context().gcs_address)
    finally:
        ray.shutdown()


def _embedded_environment() -> dict[str, str | None]:
    variables: dict[str, str | None] = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # as `_loopback`, for the processes of Ray
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what Ray will do anyway, without its warning
    }
    if "RAY_AUTH_MODE" not in _ENVIRON:
        # Ray turns tokens on by itself and tells its core so; a mode set here would reach only
        # the processes that it starts, if Ray was imported before.
        variables |= {"RAY_AUTH_MODE": None, "RAY_AUTH_TOKEN": _token()}
    if not _is_installed():
        root = str(Path(raysweep.__file__).resolve().parent.parent)
        variables["PYTHONPATH"] = os.pathsep.join(
            [root, *filter(None, [_ENVIRON.get("PYTHONPATH")])]
        )
    return variables


@functools.cache
def _token() -> str:
    """One for the life of the process: Ray's core reads it once and keeps it."""
    return secrets.token_hex(32)


@contextmanager
def _environment(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Set (or, with None, unset) variables for Ray's processes, and put back what was there."""
    before = {name: _ENVIRON.get(name) for name in variables}
    _set_all(variables)
    try:
        yield
    finally:
        _set_all(before)


def _set_all(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            _ENVIRON.pop(name, None)
        else:
            _ENVIRON[name] = value


def variable(name: str) -> str | None:
    """A variable of this process's environment, to be passed on to a trial's program."""
    return _ENVIRON.get(name)


def bench_data() -> Path:
    """The folder of recorded benchmarks: `$RAYSWEEP_BENCH_DATA`, or one beside the project."""
    if given := _ENVIRON.get("RAYSWEEP_BENCH_DATA"):
        return Path(given).expanduser()
    project = Path(raysweep.__file__).resolve().parents[1]
    return project.parent / "shared" / "bench" / "data"


def _is_installed() -> bool:
    """Whether every process of this interpreter can import raysweep, wherever it runs."""
    try:
        importlib.metadata.distribution("raysweep")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _temp_dir() -> Path:
    """A new short folder."""
    base = tempfile.gettempdir()
    if len(base) > _LONGEST_TEMP:
        base = "/tmp"
    return Path(tempfile.mkdtemp(prefix="raysweep-", dir=base))
