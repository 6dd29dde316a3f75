"""Which of the examples that ship inside Ray run unmodified through raysweep's Tuner.

    python -m benchmarks.tune_examples [NAME ...] [--timeout 120] [--json FILE]

With names only these run, and the others' outcomes are taken from FILE.

Every script of the installed `ray.tune.examples` runs as `python -m raysweep.tune SCRIPT
--smoke-test` in an empty folder that is also its home. It runs if it ends with exit status 0 and
none of its trials failed. One that does not run is then run with stock Ray Tune, to tell what is
raysweep's doing from what the machine lacks (a package, the network). Printed is the table of
docs/from-ray-tune.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from raysweep.results.layout import MANIFEST
from raysweep.results.read import read
from raysweep.trials.clock import SystemClock

_MODULE = "ray.tune.examples"
_CLOCK = SystemClock()
_ERROR = re.compile(r"^(?:[\w.]+\.)?(\w*(?:Error|Exception|Missing|Refused))(?:: (.*))?$", re.M)
_PACKAGE = re.compile(r"No module named '(\w+)")
_OFFLINE = re.compile(
    r"URLError|ConnectionError|NameResolution|getaddrinfo|Max retries|offline mode"
)
_RUN_ITSELF = re.compile(r"""^if __name__ == ["']__main__["']:""", re.M)
_WIDTH = 300


class Run(NamedTuple):
    """How a script ended: its exit status (None: it took too long) and all that it said."""

    status: int | None
    said: str
    took_s: float


class Outcome(NamedTuple):
    """One example: what became of it, and of its trials and reports, under raysweep.

    Attributes:
        why: why it does not run; empty if it runs.
        stock: for one that does not run, whether stock Ray Tune runs it here: "runs", "fails too".
    """

    example: str
    runs: bool
    trials: int
    reports: int
    took_s: float
    why: str = ""
    stock: str = ""


def examples() -> dict[str, Path]:
    """Every example by its path inside the package; modules that others import are left out."""
    found = find_spec(_MODULE)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"{_MODULE} is not installed: pip install 'ray[tune]'")
    root = Path(found.submodule_search_locations[0])
    return {
        str(path.relative_to(root)): path
        for path in sorted(root.rglob("*.py"))
        if _RUN_ITSELF.search(path.read_text())
    }


def attempt(script: Path, folder: Path, timeout_s: float, *, stock: bool = False) -> Run:
    """Run a script in `folder`, its home, with the flag that makes it short if it knows it."""
    flag = ["--smoke-test"] if "--smoke-test" in script.read_text() else []
    through = [] if stock else ["-m", "raysweep.tune"]
    places = [f"HOME={folder}", f"TMPDIR={folder}"]
    begun = _CLOCK.now()
    child = subprocess.Popen(
        ["env", *places, sys.executable, *through, str(script), *flag],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        said, _ = child.communicate(timeout=timeout_s)
        return Run(child.returncode, said, _CLOCK.now() - begun)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        said, _ = child.communicate()
        return Run(None, said, timeout_s)


def judge(name: str, run: Run, folder: Path) -> Outcome:
    """What a run through raysweep came to, by its exit status and the sweeps that it left."""
    sweeps = [read(path.parent) for path in sorted(folder.rglob(MANIFEST))]
    rows = [row for sweep in sweeps for row in sweep.arrow("trials").to_pylist()]
    reports = sum(sweep.arrow("reports").num_rows for sweep in sweeps)
    failed = [row for row in rows if row["status"] == "FAILED"]
    if run.status is None:
        why = f"not done after {run.took_s:.0f} s"
    elif run.status:
        why = reason(run.said)
    elif failed:
        why = f"{len(failed)} of {len(rows)} trials failed: {failed[0]['error']}"
    else:
        why = "" if sweeps else "it starts no Tuner"
    return Outcome(name, not why, len(rows), reports, round(run.took_s, 1), why[:_WIDTH])


def reason(said: str) -> str:
    """Why a script stopped, from the last error that it printed."""
    package = _PACKAGE.search(said)
    if package:
        return f"needs the package `{package[1]}`"
    if _OFFLINE.search(said):
        return "needs the network, to download its data"
    errors = _ERROR.findall(said)
    if not errors:
        return (said.strip().splitlines() or ["it said nothing"])[-1]
    kind, text = errors[-1]
    return f"{kind}: {text}" if text else str(kind)


def measure(names: Sequence[str], timeout_s: float) -> Iterator[Outcome]:
    """The outcome of each example, as it comes."""
    for name, script in examples().items():
        if names and name.removesuffix(".py") not in names:
            continue
        with scratch() as folder:
            outcome = judge(name, attempt(script, folder, timeout_s), folder)
        if not outcome.runs:
            with scratch() as folder:
                run = attempt(script, folder, timeout_s, stock=True)
            fine = run.status == 0 and "Number of errored trials" not in run.said
            outcome = outcome._replace(stock="runs" if fine else "fails too")
        yield outcome


@contextmanager
def scratch() -> Iterator[Path]:
    """A short-named empty folder: Ray's sockets lie in it, whose paths may have 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="rt-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def as_markdown(outcomes: Sequence[Outcome]) -> str:
    """The table of docs/from-ray-tune.md."""
    lines = [
        "| example | runs | trials | reports | why not | stock Tune |",
        "|---|---|--:|--:|---|---|",
    ]
    for each in outcomes:
        why = re.split(r"; |\. ", each.why.replace("|", "\\|"))[0]
        cells = (f"`{each.example}`", "yes" if each.runs else "no")
        lines.append(
            f"| {' | '.join(cells)} | {each.trials} | {each.reports} | {why} | {each.stock} |"
        )
    return "\n".join(lines)


def _known(file: Path) -> dict[str, Outcome]:
    """The outcomes that an earlier run wrote."""
    if not file.exists():
        return {}
    return {row["example"]: Outcome(**row) for row in json.loads(file.read_text())["examples"]}


def main() -> None:
    """Run them and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="only these, as `mlflow_example`")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds for each")
    parser.add_argument("--json", type=Path, help="also write the outcomes there")
    options = parser.parse_args()
    known = _known(options.json) if options.names and options.json else {}
    for outcome in measure(options.names, options.timeout):
        known[outcome.example] = outcome
        print(f"{outcome.example}: {outcome.why or 'runs'}", file=sys.stderr, flush=True)
    outcomes = [known[name] for name in sorted(known)]
    print(as_markdown(outcomes))
    print(
        f"\n{sum(each.runs for each in outcomes)} of {len(outcomes)} run with Ray {version('ray')}."
    )
    if options.json:
        rows = {"ray": version("ray"), "examples": [each._asdict() for each in outcomes]}
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
