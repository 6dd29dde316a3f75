from __future__ import annotations

from pathlib import Path

from raysweep.orchestrator.story import tell
from raysweep.results.read import read
from raysweep.results.verify import verify
from tests.orchestrator.cli_sweeps import simulated_sweep


def test_a_story_begins_with_the_reasons_of_the_searcher(tmp_path: Path) -> None:
    path = simulated_sweep(tmp_path, searcher="gp", scheduler="fifo")
    results = read(path)
    first, last = (tell(results, str(number)).moments[0] for number in (0, 19))
    assert first.text == "suggested by the gp searcher; sobol; initial design, point 0"
    assert last.text.startswith("suggested by the gp searcher; gp: logei ")
    assert "; from t0000" in last.text
    assert last.facts["n"] >= 15
    assert results.arrow("trials")["why"].null_count == 0


def test_the_default_says_what_it_chose(tmp_path: Path) -> None:
    results = read(simulated_sweep(tmp_path))
    text = tell(results, "19").moments[0].text
    assert "suggested by the auto searcher; mobster: logei" in text
    assert "auto chose mobster: results at 3 rungs, learnt from together" in text
    assert verify(results.path) == []
