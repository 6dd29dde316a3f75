"""Syne Tune's simulator, run by the Python of its own environment; nothing of raysweep is imported.

Started as `python synetune_peer.py`. In: one JSON line with `method`, `space` (as of
`benchmarks/peer.py`), `seed`, `workers`, `until_s`, `tick_s`, `max_t`, `eta`, `charge`. Then it asks, a line
for each config: `{"curve": {...}}`, and reads `{"scores": [...], "seconds": [...]}`: lower is
better, seconds since the training began, one value a step. At the end it writes `{"reports":
[[trial, step, at_s], ...], "configs": {trial: config}, "cpu_s": ...}`.
"""

import contextlib
import io
import json
import logging
import os
import sys
import tempfile
import time
import warnings

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ["SYNETUNE_FOLDER"] = tempfile.mkdtemp()
warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

METHODS = {
    "random": ("RandomSearch", {}), "bo": ("BayesianOptimization", {}),
    "asha": ("ASHA", {"type": "stopping"}), "asha-promotion": ("ASHA", {"type": "promotion"}),
    "pasha": ("PASHA", {}), "hyperband": ("SyncHyperband", {}), "dehb": ("DEHB", {}),
    "bohb": ("BOHB", {}), "mobster": ("MOBSTER", {}), "hyper-tune": ("HyperTune", {}),
    "dyhpo": ("DyHPO", {}),
}  # fmt: skip
WHOLE = ("random", "bo")
"""Methods that train every config to the end."""
_SIMULATED = ("delay_on_trial_result", "delay_complete_after_final_report",
              "delay_complete_after_stop", "delay_start", "delay_stop")  # fmt: skip


def domain(law):
    import syne_tune.config_space as sp

    if law["kind"] in ("choice", "ordinal"):
        return sp.choice(law["options"])
    names = {"int": ("randint", "lograndint"), "float": ("uniform", "loguniform")}
    return getattr(sp, names[law["kind"]][law["log"]])(law["low"], law["high"])


def plain(config):
    return {n: v.item() if hasattr(v, "item") else v for n, v in config.items()}


def serve(told, ask):
    import numpy as np
    import syne_tune.config_space as sp
    import torch
    from syne_tune import StoppingCriterion, Tuner
    from syne_tune.backend.simulator_backend.simulator_backend import (
        SimulatorBackend,
        SimulatorConfig,
    )
    from syne_tune.backend.simulator_backend.simulator_callback import SimulatorCallback
    from syne_tune.blackbox_repository.blackbox import Blackbox
    from syne_tune.blackbox_repository.simulated_tabular_backend import UserBlackboxBackend
    from syne_tune.optimizer import baselines

    torch.set_num_threads(1)
    max_t, names = told["max_t"], [law["name"] for law in told["space"]]
    if not told["charge"]:  # the time that a method takes to think does not pass
        SimulatorBackend._advance_by_outside_time = lambda self: None

    class Recorded(Blackbox):
        def __init__(self):
            space = {law["name"]: domain(law) for law in told["space"]}
            self.curves, self.asked_s = {}, 0.0
            super().__init__(space, {"epoch": sp.randint(1, max_t)}, ["score", "elapsed_s"])

        @property
        def fidelity_values(self):
            return np.arange(1, max_t + 1)

        def _objective_function(self, configuration, fidelity=None, seed=None):
            config = plain({name: configuration[name] for name in names})
            key = tuple(config.values())
            if key not in self.curves:
                begun = time.process_time()
                answer = ask(config)
                self.asked_s += time.process_time() - begun
                self.curves[key] = np.array([answer["scores"], answer["seconds"]]).T
            rows = self.curves[key]
            if fidelity is None:
                return rows
            return dict(zip(self.objectives_names, rows[int(fidelity["epoch"]) - 1], strict=True))

    recorded = Recorded()
    space = dict(recorded.configuration_space, epochs=max_t)
    made, options = METHODS[told["method"]]
    options = {"metric": "score", "mode": "min", "random_seed": told["seed"], **options,
               "search_options": {"debug_log": False}}  # fmt: skip
    if told["method"] not in WHOLE:
        options |= {"resource_attr": "epoch", "max_resource_attr": "epochs", "grace_period": 1}
    if told["method"] not in (*WHOLE, "dyhpo"):  # DyHPO has a rung at every step
        options |= {"reduction_factor": told["eta"]}
    scheduler = getattr(baselines, made)(space, **options)
    backend = UserBlackboxBackend(
        blackbox=recorded, elapsed_time_attr="elapsed_s", max_resource_attr="epochs",
        seed=told["seed"], tuner_sleep_time=told["tick_s"], simulator_config=SimulatorConfig(**dict.fromkeys(_SIMULATED, 0.0)),
    )  # fmt: skip
    backend.set_path(tempfile.mkdtemp())
    seen = SimulatorCallback()
    tuner = Tuner(
        backend, scheduler, StoppingCriterion(max_wallclock_time=told["until_s"]),
        n_workers=told["workers"], sleep_time=0, callbacks=[seen], save_tuner=False,
        tuner_name="contest", suffix_tuner_name=True,
    )  # fmt: skip
    begun = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        tuner.run()
    cpu_s = time.process_time() - begun - recorded.asked_s
    frame = seen.dataframe()
    configs = {
        str(trial): plain({name: rows[f"config_{name}"].iloc[0] for name in names})
        for trial, rows in frame.groupby("trial_id")
    }
    reports = frame.sort_values("st_tuner_time", kind="stable")
    columns = (reports["trial_id"].astype(str), reports["epoch"], reports["st_tuner_time"])
    return {
        "reports": [[t, int(e), float(s)] for t, e, s in zip(*columns, strict=True)],
        "configs": configs,
        "cpu_s": cpu_s,
    }


def main():
    out, sys.stdout = sys.stdout, sys.stderr  # whatever it prints is no answer

    def say(message):
        out.write(json.dumps(message) + "\n")
        out.flush()

    def ask(config):
        say({"curve": config})
        return json.loads(sys.stdin.readline())

    say(serve(json.loads(sys.stdin.readline()), ask))


if __name__ == "__main__":
    main()
