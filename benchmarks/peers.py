"""The peers: which there are, their environments under `.peers/`, and how one is talked to.

    python -m benchmarks.peers optuna ax        # makes the environments, minutes each

Requirements stand in `benchmarks/peers_txt/`; torch is installed first, so that no other release of it
is taken.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from raysweep.trials.domains import Choice, Fixed, Float, Int
from raysweep.trials.space import Space

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".peers"
REQUIREMENTS = Path(__file__).parent / "peers_txt"
PEERS = {
    "random": "optuna", "optuna-random": "optuna", "optuna-tpe": "optuna", "optuna-mtpe": "optuna",
    "optuna-gp": "optuna", "optuna-cmaes": "optuna", "optuna-nsga2": "optuna", "hyperopt": "optuna", "ax": "ax",
    "smac": "smac", "smac-gp": "smac", "hebo": "hebo",
}  # fmt: skip
"""Each peer and its environment."""
FAMILIES = {"optuna": ("optuna-tpe", "optuna-mtpe", "optuna-gp"), "smac": ("smac", "smac-gp")}
"""What `--peers optuna` stands for."""


class Answer(NamedTuple):
    """A config, and the processor time that the peer took for it."""

    config: dict[str, Any]
    cpu_s: float


class Peer:
    """One run of one peer, in a process of its own.

    Args:
        name: a key of `PEERS`.
        space, seed, trials: what it is told.
        known: configs and losses to begin with; Optuna's and HyperOpt's only.
        objectives: how many losses each config has; more than one: Optuna's and Ax's only.

    Raises:
        FileNotFoundError: its environment has not been made.
    """

    def __init__(
        self,
        name: str,
        space: Space,
        seed: int,
        trials: int,
        known: Sequence[tuple[dict[str, Any], float]] = (),
        objectives: int = 1,
    ) -> None:
        python = ENVIRONMENTS / PEERS[name] / "bin" / "python"
        if not python.exists():
            raise FileNotFoundError(
                f"{name} has no environment; make it: python -m benchmarks.peers {PEERS[name]}"
            )
        peer = "optuna-random" if name == "random" else name
        self._process = subprocess.Popen(
            [str(python), str(Path(__file__).with_name("peer.py")), peer],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._first: dict[str, Any] = {"space": described(space), "seed": seed, "trials": trials}
        if known:
            self._first["known"] = list(known)
        if objectives > 1:
            self._first["objectives"] = objectives

    def ask(self, last: float | Sequence[float] | None = None) -> Answer:
        """The next config, after the loss of the last one (NaN: it failed; None: there is none).

        With several objectives the losses of the last one.

        Raises:
            RuntimeError: the peer has died, with the end of what it said.
        """
        message = self._first or {"tell": None if last != last else last}
        self._first = {}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self._process.stdout.readline()
        if not line:
            assert self._process.stderr is not None
            raise RuntimeError(f"the peer died: {self._process.stderr.read()[-500:]}")
        return Answer(**json.loads(line))

    def kill(self) -> None:
        """End its process; who waits for its answer gets the RuntimeError. From any thread."""
        self._process.kill()

    def close(self) -> None:
        """End its process and let go of it."""
        self.kill()
        self._process.communicate()


def described(space: Space) -> list[dict[str, Any]]:
    """The space as `benchmarks/peer.py` reads it, parents before their children."""
    return [
        {
            "name": name,
            "when": {p: list(v) for p, v in parameter.when.items()},
            **_law(parameter.domain),
        }
        for name, parameter in space.parameters.items()
    ]


def _law(domain: Any) -> dict[str, Any]:
    if isinstance(domain, Choice | Fixed):
        return {"kind": "ordinal" if domain.ordered else "choice", "options": list(domain.options)}
    assert isinstance(domain, Float | Int)
    kind = "int" if isinstance(domain, Int) else "float"
    return {"kind": kind, "low": domain.low, "high": domain.high, "log": domain.log}


def install(name: str) -> None:
    """Make the environment of a peer, unless it stands."""
    place = ENVIRONMENTS / name
    if (place / "ok").exists():
        return
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    pip = [str(place / "bin" / "pip"), "install", "--quiet", "--prefer-binary"]
    if name != "smac":
        subprocess.run([*pip, "torch==2.13.0"], check=True)
    subprocess.run([*pip, "-r", str(REQUIREMENTS / f"{name}.txt")], check=True)
    (place / "ok").touch()


if __name__ == "__main__":
    for wanted in sys.argv[1:] or ["optuna", "ax", "smac", "hebo"]:
        install(wanted)
        print(f"{wanted}: installed")
