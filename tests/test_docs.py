"""The documents keep up with the code: links, names, examples, keys."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import AliasChoices, BaseModel
from pydantic_core import PydanticUndefined

from raysweep.orchestrator.cli import app
from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.yaml_file import parse_yaml
from raysweep.schedulers.catalog import SCHEDULERS
from raysweep.searchers.catalog import SEARCHERS
from raysweep.trials.errors import SpecError
from raysweep.trials.parameters import DISTRIBUTIONS
from tests.test_architecture import LAYERS, ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
TOP = [*LAYERS, "benchmarks", "docs", "examples", "tests"]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_NAMED = re.compile(rf"`((?:{'|'.join(TOP)})/[\w./-]*)`")
_COMMAND = re.compile(r"`raysweep ([a-z]+)")


def text_of(page: Path) -> str:
    return page.read_text()


def blocks(page: Path, language: str) -> list[str]:
    return [body for found, body in _BLOCK.findall(text_of(page)) if found == language]


def anchors(page: Path) -> set[str]:
    """The names by which GitHub's links know the headings of a page."""
    bare = _BLOCK.sub("", text_of(page))
    titles = re.findall(r"^#+ (.+)$", bare, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def rows(kind: str) -> dict[str, list[str]]:
    """The tables of docs/spec.md whose first column is headed `kind`: name → the other cells."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in text_of(ROOT / "docs" / "spec.md").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if not line.startswith("|"):
            heading = ""
        elif not heading:
            heading = cells[0]
        elif heading == kind and not line.startswith("|-"):
            name = cells[0].strip("`")
            assert name not in found, f"{name} has two rows"
            found[name] = cells[1:]
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(_BLOCK.sub("", text_of(page))):
        if "://" in link:
            assert link.startswith("https://")
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}"
        assert target.is_relative_to(ROOT)
        assert not anchor or anchor in anchors(target), f"{page.name} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_commands_that_are_named_exist(page: Path) -> None:
    for name in _NAMED.findall(text_of(page)):
        assert (ROOT / name).exists(), f"{page.name} names {name}"
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert set(_COMMAND.findall(text_of(page))) <= commands


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_in_the_documents_compiles(page: Path) -> None:
    for number, block in enumerate(blocks(page, "python")):
        compile(block, f"{page.name}, block {number}", "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_specs_in_the_documents_are_valid(page: Path) -> None:
    for block in blocks(page, "yaml"):
        written = parse_yaml(block, page.name)
        if "trainable" in written:
            SweepSpec.from_dict(written)


def run_script(code: str, folder: Path) -> None:
    script = folder / "example.py"
    script.write_text(f'if __name__ == "__main__":\n{_indented(code)}')
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def _indented(code: str) -> str:
    return "".join(f"    {line}" if line.strip() else line for line in code.splitlines(True))


@pytest.mark.ray
def test_the_first_example_of_the_readme_runs(tmp_path: Path) -> None:
    first = blocks(ROOT / "README.md", "python")[0]
    run_script(first, tmp_path)


@pytest.mark.ray
def test_the_python_page_runs_from_top_to_bottom(tmp_path: Path) -> None:
    run_script("\n".join(blocks(ROOT / "docs" / "python.md", "python")), tmp_path)


def test_the_searcher_by_hand_runs_without_ray() -> None:
    by_hand = blocks(ROOT / "docs" / "python.md", "python")[-1]
    assert "build_searcher" in by_hand
    code = f"import sys, raysweep\n{by_hand}\nassert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def keys(model: type[BaseModel], path: str = "") -> Iterator[tuple[set[str], Any]]:
    """Every key of a spec: the ways to write it, and its default."""
    for name, field in model.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, BaseModel):
            yield from keys(part, f"{name}.")
            continue
        alias = field.validation_alias
        ways = map(str, alias.choices) if isinstance(alias, AliasChoices) else [name]
        yield {f"{path}{way}" for way in ways}, field.default


KEYS = list(keys(SweepSpec))


@pytest.mark.parametrize(("ways", "default"), KEYS, ids=lambda value: "/".join(sorted(value)) if isinstance(value, set) else "")  # fmt: skip
def test_every_key_of_a_spec_has_a_row_with_its_default(ways: set[str], default: Any) -> None:
    table = rows("key")
    named = ways & table.keys()
    assert len(named) == 1, f"docs/spec.md needs one row for {' or '.join(sorted(ways))}"
    kind, shown, meaning = table[named.pop()]
    assert kind
    assert meaning.endswith(".")
    if default is PydanticUndefined:
        assert shown == "required"
    elif default is None:
        assert shown == "none"
    else:
        expected = list(default) if isinstance(default, tuple) else default
        assert parse_yaml(f"value: {shown.strip('`')}", "docs")["value"] == expected


def test_docs_name_nothing_that_is_not_there() -> None:
    pairs = {"method"}  # is read as the two keys that it stands for
    assert rows("key").keys() <= set().union(*(ways for ways, _ in KEYS)) | pairs
    assert rows("distribution").keys() == DISTRIBUTIONS.keys()
    assert rows("searcher").keys() == SEARCHERS.keys()
    assert rows("scheduler").keys() == SCHEDULERS.keys()


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_every_distribution_has_a_row_with_a_valid_example(name: str) -> None:
    example = parse_yaml(f"x: {rows('distribution')[name][0].strip('`')}", "docs")
    assert list(example["x"]) == [name]
    written = {"trainable": "a:b", "space": example, "metric": "m", "mode": "min"}
    if name == "free":
        with pytest.raises(SpecError, match="x is free: it has no law that auto could draw from"):
            SweepSpec.from_dict({**written, "budget": {"steps": 1}})
        return
    SweepSpec.from_dict({**written, "budget": {"steps": 1}})


@pytest.mark.parametrize("name", SEARCHERS)
def test_every_searcher_has_a_page_with_an_example(name: str) -> None:
    page = ROOT / "docs" / "searchers" / f"{name}.md"
    examples = [parse_yaml(block, name) for block in blocks(page, "yaml")]
    assert examples
    for example in examples:
        searcher = example["searcher"]
        assert (searcher if isinstance(searcher, str) else searcher["name"]) == name
        SweepSpec.from_dict({"trainable": "a:b", "metric": "loss", "mode": "min", **example})


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_has_a_page_with_an_example_and_its_options(name: str) -> None:
    page = ROOT / "docs" / "schedulers" / f"{name}.md"
    examples = [parse_yaml(block, name) for block in blocks(page, "yaml")]
    assert examples
    for example in examples:
        scheduler = example["scheduler"]
        assert (scheduler if isinstance(scheduler, str) else scheduler["name"]) == name
        SweepSpec.from_dict({"trainable": "a:b", "metric": "loss", "mode": "min", **example})
    for option in SCHEDULERS[name].options:
        assert f"`{option}`" in text_of(page), f"{page.name} does not say what {option} is"


@pytest.mark.parametrize("page", ["audit", "confirm", "cost", "judging"])
def test_an_option_of_many_schedulers_has_a_page_with_a_valid_example(page: str) -> None:
    text = ROOT / "docs" / "schedulers" / f"{page}.md"
    for block in blocks(text, "yaml"):
        example = parse_yaml(block, page)
        SweepSpec.from_dict({"trainable": "a:b", "metric": "loss", "mode": "min", **example})


def test_every_option_of_many_schedulers_has_a_row() -> None:
    options = {option for entry in SCHEDULERS.values() for option in entry.around}
    named = {re.findall(r"\w+", cell)[0]: cell for cell in rows("option")}
    assert options == named.keys()


def test_the_guide_to_schedulers_names_each() -> None:
    linked = _LINK.findall(text_of(ROOT / "docs" / "schedulers" / "README.md"))
    assert {f"{name}.md" for name in SCHEDULERS} <= set(linked)


OPTIONS = {
    **{("searcher", name): entry.options for name, entry in SEARCHERS.items()},
    **{("scheduler", name): entry.options for name, entry in SCHEDULERS.items()},
}


@pytest.mark.parametrize(("kind", "name"), OPTIONS)
def test_every_searcher_and_scheduler_has_a_row_with_its_options_and_defaults(
    kind: str, name: str
) -> None:
    options, when, cost = rows(kind)[name]
    for option, rule in OPTIONS[kind, name].items():
        described = re.search(rf"`{option}` \((.+?)\)(?:, `|$)", options)
        assert described, f"{name} needs {option}"
        if getattr(rule, "required", False):
            assert described[1] == "required"
        elif rule.default is not None:
            shown = re.match(r"`(.+?)`", described[1])
            assert shown, f"the default of {option}"
            assert parse_yaml(f"value: {shown[1]}", "docs")["value"] == rule.default
    assert when.endswith(".")
    assert cost
