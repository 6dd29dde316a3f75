"""One peer in its own environment, asked and told in JSON lines; run by that environment's Python.

Started as `python peer.py NAME`; imports the standard library and the peer, nothing of raysweep.
In: `{"space": [...], "seed": 0, "trials": 100}`, with `"known": [[config, loss], ...]` where the
peer shall begin with results (Optuna, HyperOpt) and `"objectives": 2` where each loss is a list of
as many (Optuna, Ax), then `{"tell": loss}` (null: failed) after each
config. Out: `{"config": {...}, "cpu_s": ...}` for each. A parameter is `{"name", "kind": float |
int | choice | ordinal, "low", "high", "log", "options", "when": {parent: [values]}}`. A peer that
knows conditions is given them; any other searches all parameters at once, and what is inactive
counts for nothing.
"""

import json
import logging
import math
import os
import sys
import tempfile
import time
import warnings

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)


def span(parameter):
    """Low, high and log of a parameter that is given as a number; an ordinal goes by its index."""
    if parameter["kind"] == "ordinal":
        return 0, len(parameter["options"]) - 1, False
    return parameter["low"], parameter["high"], parameter["log"]


def active(parameter, config):
    """Whether its condition holds; parents stand before their children."""
    return all(config.get(parent) in values for parent, values in parameter["when"].items())


def cleaned(space, flat):
    """A config without inactive parameters, with plain values."""
    config = {}
    for p in space:
        if not active(p, config):
            continue
        value = flat[p["name"]]
        if p["kind"] == "ordinal":
            value = p["options"][int(value)]
        elif p["kind"] == "int":
            value = min(p["high"], max(p["low"], int(round(float(value)))))
        elif p["kind"] == "float":
            value = min(p["high"], max(p["low"], float(value)))
        config[p["name"]] = value
    return config


class Optuna:
    def __init__(self, space, seed, trials, kind, objectives=1):
        import optuna

        optuna.logging.set_verbosity(40)
        self.optuna, self.space = optuna, space
        made = {
            "random": optuna.samplers.RandomSampler,
            "tpe": optuna.samplers.TPESampler,
            "mtpe": lambda seed: optuna.samplers.TPESampler(
                seed=seed, multivariate=True, group=True
            ),
            "gp": optuna.samplers.GPSampler,
            "cmaes": optuna.samplers.CmaEsSampler,
            "nsga2": optuna.samplers.NSGAIISampler,
        }[kind](seed=seed)
        self.study = optuna.create_study(sampler=made, directions=["minimize"] * objectives)

    def learn(self, known):
        laws = {}
        for p in self.space:
            if p["kind"] == "choice":
                laws[p["name"]] = self.optuna.distributions.CategoricalDistribution(p["options"])
            else:
                low, high, log = span(p)
                name = "FloatDistribution" if p["kind"] == "float" else "IntDistribution"
                laws[p["name"]] = getattr(self.optuna.distributions, name)(low, high, log=log)
        self.study.add_trials(
            [
                self.optuna.trial.create_trial(params=config, distributions=laws, value=loss)
                for config, loss in known
            ]
        )

    def ask(self):
        trial = self.trial = self.study.ask()
        flat = {}
        for p in self.space:
            config = cleaned(self.space[: self.space.index(p)], flat)
            if not active(p, config):
                continue
            if p["kind"] == "choice":
                flat[p["name"]] = trial.suggest_categorical(p["name"], p["options"])
            else:
                low, high, log = span(p)
                suggest = trial.suggest_float if p["kind"] == "float" else trial.suggest_int
                flat[p["name"]] = suggest(p["name"], low, high, log=log)
        return cleaned(self.space, flat)

    def tell(self, loss):
        if loss is None:
            self.study.tell(self.trial, state=self.optuna.trial.TrialState.FAIL)
        else:
            self.study.tell(self.trial, loss)


class HyperOpt:
    def __init__(self, space, seed, trials, kind):
        import numpy as np
        from hyperopt import Trials, hp
        from hyperopt.base import Domain

        self.space, self.written, self.trials = space, {}, Trials()
        for p in space:
            name = p["name"]
            if p["kind"] == "choice":
                self.written[name] = hp.choice(name, p["options"])
                continue
            low, high, log = span(p)
            low, high = (math.log(low), math.log(high)) if log else (low, high)
            make = "hp.{}{}uniform".format(
                "q" if p["kind"] != "float" else "", "log" if log else ""
            )
            law = getattr(hp, make[3:])
            steps = (1,) if p["kind"] != "float" else ()
            self.written[name] = law(name, low, high, *steps)
        self.domain = Domain(lambda config: 0, self.written)
        self.chance = np.random.default_rng(seed)

    def ask(self):
        from hyperopt import space_eval, tpe
        from hyperopt.base import spec_from_misc

        ids = self.trials.new_trial_ids(1)
        self.trials.refresh()
        seed = int(self.chance.integers(2**31 - 1))
        self.doc = tpe.suggest(ids, self.domain, self.trials, seed)[0]
        flat = space_eval(self.written, spec_from_misc(self.doc["misc"]))
        for p in self.space:
            if p["kind"] == "ordinal":
                flat[p["name"]] = min(len(p["options"]) - 1, max(0, int(flat[p["name"]])))
        return cleaned(self.space, flat)

    def learn(self, known):
        from hyperopt.base import JOB_STATE_DONE

        docs = []
        for tid, (config, loss) in zip(self.trials.new_trial_ids(len(known)), known, strict=True):
            cells = {"tid": tid, "cmd": ("domain_attachment", "FMinIter_Domain"), "workdir": None}
            cells["idxs"] = {name: [tid] for name in config}
            cells["vals"] = {name: [value] for name, value in config.items()}
            docs += self.trials.new_trial_docs([tid], [None], [{"loss": loss}], [cells])
            docs[-1]["state"] = JOB_STATE_DONE
            docs[-1]["result"] = {"loss": loss, "status": "ok"}
        self.trials.insert_trial_docs(docs)
        self.trials.refresh()

    def tell(self, loss):
        from hyperopt.base import JOB_STATE_DONE

        self.doc["state"] = JOB_STATE_DONE
        self.doc["result"] = {"status": "fail"} if loss is None else {"loss": loss, "status": "ok"}
        self.trials.insert_trial_docs([self.doc])
        self.trials.refresh()


class Ax:
    def __init__(self, space, seed, trials, kind, objectives=1):
        import torch

        torch.set_num_threads(1)
        from ax.api.client import Client
        from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

        self.space, self.client, written = space, Client(random_seed=seed), []
        for i, p in enumerate(space):
            if p["kind"] == "choice":
                values = [str(option) for option in p["options"]]
                written.append(
                    ChoiceParameterConfig(
                        name=f"p{i}", parameter_type="str", values=values, is_ordered=False
                    )
                )
                continue
            low, high, log = span(p)
            written.append(
                RangeParameterConfig(
                    name=f"p{i}",
                    parameter_type="float" if p["kind"] == "float" else "int",
                    bounds=(low, high),
                    scaling="log" if log else "linear",
                )
            )
        self.client.configure_experiment(parameters=written)
        self.names = [f"loss{i}" for i in range(objectives)]
        self.client.configure_optimization(objective=", ".join(f"-{n}" for n in self.names))

    def ask(self):
        ((self.index, given),) = self.client.get_next_trials(max_trials=1).items()
        flat = {}
        for i, p in enumerate(self.space):
            value = given[f"p{i}"]
            if p["kind"] == "choice":
                value = next(option for option in p["options"] if str(option) == value)
            flat[p["name"]] = value
        return cleaned(self.space, flat)

    def tell(self, loss):
        if loss is None:
            self.client.mark_trial_failed(trial_index=self.index)
        else:
            losses = loss if isinstance(loss, list) else [loss]
            data = dict(zip(self.names, losses, strict=True))
            self.client.complete_trial(trial_index=self.index, raw_data=data)


class Smac:
    def __init__(self, space, seed, trials, kind):
        from pathlib import Path

        from ConfigSpace import Categorical, ConfigurationSpace, Float, InCondition, Integer
        from smac import BlackBoxFacade, HyperparameterOptimizationFacade, Scenario

        self.space, made = space, {}
        written = ConfigurationSpace(seed=seed)
        for p in space:
            if p["kind"] == "choice":
                made[p["name"]] = Categorical(p["name"], p["options"])
            else:
                low, high, log = span(p)
                kind_of = Float if p["kind"] == "float" else Integer
                made[p["name"]] = kind_of(p["name"], (low, high), log=log)
            written.add(made[p["name"]])
        for p in space:
            for parent, values in p["when"].items():
                written.add(InCondition(made[p["name"]], made[parent], values))
        facade = BlackBoxFacade if kind == "gp" else HyperparameterOptimizationFacade
        scenario = Scenario(
            written,
            n_trials=trials,
            deterministic=True,
            seed=seed,
            output_directory=Path(tempfile.mkdtemp()),
        )
        self.smac = facade(
            scenario, lambda config, seed=0: 0.0, overwrite=True, logging_level=False
        )

    def ask(self):
        self.info = self.smac.ask()
        return cleaned(self.space, dict(self.info.config))

    def tell(self, loss):
        from smac.runhistory.dataclasses import TrialValue
        from smac.runhistory.enumerations import StatusType

        if loss is None:
            self.smac.tell(self.info, TrialValue(cost=math.inf, status=StatusType.CRASHED))
        else:
            self.smac.tell(self.info, TrialValue(cost=loss, time=0.1))


class Hebo:
    def __init__(self, space, seed, trials, kind):
        import numpy as np
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(seed)
        np.random.seed(seed)
        from hebo.design_space.design_space import DesignSpace
        from hebo.optimizers.hebo import HEBO

        self.space, written = space, []
        for p in space:
            if p["kind"] == "choice":
                written.append({"name": p["name"], "type": "cat", "categories": p["options"]})
                continue
            low, high, log = span(p)
            kind_of = (
                ("pow" if log else "num") if p["kind"] == "float" else "pow_int" if log else "int"
            )
            written.append({"name": p["name"], "type": kind_of, "lb": low, "ub": high})
        self.hebo = HEBO(DesignSpace().parse(written), scramble_seed=seed)

    def ask(self):
        self.row = self.hebo.suggest(1)
        return cleaned(self.space, self.row.iloc[0].to_dict())

    def tell(self, loss):
        import numpy as np

        if loss is not None:
            self.hebo.observe(self.row, np.array([[loss]]))


PEERS = {
    "optuna-random": (Optuna, "random"), "optuna-tpe": (Optuna, "tpe"),
    "optuna-mtpe": (Optuna, "mtpe"), "optuna-gp": (Optuna, "gp"),
    "optuna-cmaes": (Optuna, "cmaes"), "optuna-nsga2": (Optuna, "nsga2"), "hyperopt": (HyperOpt, ""), "ax": (Ax, ""),
    "smac": (Smac, "rf"), "smac-gp": (Smac, "gp"), "hebo": (Hebo, ""),
}  # fmt: skip


def serve(name):
    out = sys.stdout
    sys.stdout = sys.stderr  # whatever a peer prints is no answer
    make, kind = PEERS[name]
    peer = None
    for line in sys.stdin:
        message = json.loads(line)
        start = time.process_time()
        if "space" in message:
            more = {"objectives": message["objectives"]} if "objectives" in message else {}
            peer = make(message["space"], message["seed"], message["trials"], kind, **more)
            if "known" in message:
                peer.learn(message["known"])
        else:
            peer.tell(message["tell"])
        config = peer.ask()
        cpu_s = time.process_time() - start
        out.write(json.dumps({"config": config, "cpu_s": cpu_s}, default=lambda v: v.item()) + "\n")
        out.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
