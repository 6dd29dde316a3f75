"""Every searcher of the catalogue as Ray Tune's, asked and told in the order of Tune's loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ray import tune

from raysweep.searchers import tune as faces
from raysweep.searchers.catalog import SEARCHERS
from raysweep.searchers.tune import TuneSearcher
from raysweep.trials.errors import SpecError

SPACE = {
    "lr": tune.loguniform(1e-4, 1.0),
    "net": {"width": tune.randint(8, 65), "act": tune.choice(["relu", "tanh"])},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "prior": {"prior": {"lr": 1e-2}},
    "grid": {"points": {"lr": 3}},
    "tpe": {"initial": 3},
    "gp": {"initial": 3, "acquisition": "ucb"},
}
FACES = {
    face.name: face
    for face in (getattr(faces, name) for name in faces.__all__)
    if face is not TuneSearcher and face.name != "transfer"
}


def made(name: str) -> TuneSearcher:
    searcher: TuneSearcher = FACES[name](**OPTIONS.get(name, {}))
    searcher.set_search_properties("loss", "min", SPACE)
    return searcher


def run(searcher: TuneSearcher, trials: range) -> list[Any]:
    configs = []
    for number in trials:
        config = searcher.suggest(f"t{number}")
        assert isinstance(config, dict)
        configs.append(config)
        result = {"loss": config["lr"] * config["net"]["width"], "training_iteration": 1}
        searcher.on_trial_result(f"t{number}", result)
        searcher.on_trial_complete(f"t{number}", result)
    return configs


def test_every_searcher_has_a_face() -> None:
    elsewhere = {"transfer", "dehb"}  # dehb goes by trial numbers, which Tune's trials have not
    assert FACES.keys() | elsewhere == SEARCHERS.keys()


@pytest.mark.parametrize("name", FACES)
def test_a_search_is_of_the_space_and_goes_on_after_a_restore(name: str, tmp_path: Path) -> None:
    searcher = made(name)
    for config in run(searcher, range(6)):
        assert 1e-4 <= config["lr"] <= 1.0
        assert config["net"]["width"] in range(8, 65)
        assert config["net"]["act"] in ("relu", "tanh")
    searcher.save(str(tmp_path / "state"))
    restored = made(name)
    restored.restore(str(tmp_path / "state"))
    assert run(restored, range(6, 9)) == run(searcher, range(6, 9))


@pytest.mark.parametrize("name", ["tpe", "gp", "auto"])
def test_what_is_told_is_learnt(name: str) -> None:
    told, untold = made(name), made(name)
    first = run(told, range(12))
    later = [untold.suggest(f"t{number}") for number in range(12)]
    assert first[:3] == later[:3]
    assert first[8:] != later[8:]


def test_an_option_that_is_none_is_refused() -> None:
    with pytest.raises(SpecError, match=r"gp: 'aquisition' is no option of it; did you mean"):
        faces.GPSearch(SPACE, metric="loss", mode="min", aquisition="ucb").suggest("a")
