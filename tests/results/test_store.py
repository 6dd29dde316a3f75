import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.results import image, layout
from raysweep.results.codec import canonical, decode, encode
from raysweep.results.fold import Fold
from raysweep.results.parts import parquet, read_parquet
from raysweep.results.read import history as read_history
from raysweep.results.read import read
from raysweep.results.store import Store
from raysweep.results.verify import verify
from raysweep.trials.clock import ManualClock
from raysweep.trials.errors import ReportError, StoreBusy, StoreFenced, StoreFormatError
from raysweep.trials.events import Reported, Ticked
from tests.results.worlds import MANIFEST, Step, World, feed, history

TABLES = ("trials", "reports", "attempts", "decisions", "all_reports")


def make(path: Path, **options: object) -> Store:
    return Store.create(path, dict(MANIFEST), clock=ManualClock(), **options)  # type: ignore[arg-type]


def die(store: Store) -> None:
    """What remains of a driver after SIGKILL: nothing, not even its lock."""
    store._journal.close()
    store._tenure.release()


def reopen(path: Path) -> Store:
    store, recovered = Store.open(path, clock=ManualClock())
    for _ in recovered.records:
        pass
    return store


def text_of(steps: list[Step]) -> list[str]:
    return [encode(lsn, event, verdicts) for lsn, (event, verdicts) in enumerate(steps, 1)]


def on_disk(path: Path) -> list[str]:
    return [encode(*record) for record in read_history(path)]


def shown(table: pa.Table) -> list[str]:
    """Rows as text: NaN equals itself, and the order of columns and rows does not count."""
    return sorted(canonical(row) for row in table.to_pylist())


def expected(steps: list[Step]) -> Fold:
    fold = Fold(MANIFEST)
    for lsn, (event, verdicts) in enumerate(steps, 1):
        fold.apply(lsn, event, verdicts, encode(lsn, event, verdicts))
    return fold


def agree(path: Path, steps: list[Step]) -> None:
    """The directory holds these records and nothing else, in every form."""
    assert on_disk(path) == text_of(steps)
    fold, results = expected(steps), read(path)
    tables = fold.tables()
    assert shown(results.arrow("trials")) == shown(tables.trials)
    assert shown(results.arrow("attempts")) == shown(tables.attempts)
    assert shown(results.arrow("decisions")) == shown(tables.decisions)
    assert filled(results.arrow("all_reports")) == filled(tables.reports)
    status = results.status()
    assert {name: status[name] for name in fold.tally()} == fold.tally()


def filled(table: pa.Table) -> list[str]:
    """Rows without their nulls: parts differ in the columns that they know."""
    rows = ({k: v for k, v in row.items() if v is not None} for row in table.to_pylist())
    return sorted(map(canonical, rows))


def test_what_is_appended_is_read_back_from_the_log_and_from_the_parts(tmp_path: Path) -> None:
    steps = history(1, 300)
    store = make(tmp_path / "s")
    feed(store, steps[:100])
    agree(tmp_path / "s", steps[:100])
    store.compact({"answer": 42})
    agree(tmp_path / "s", steps[:100])
    feed(store, steps[100:200])
    store.compact({})
    feed(store, steps[200:])
    agree(tmp_path / "s", steps)
    store.close()
    assert verify(tmp_path / "s") == []


def test_decisions_from_before_there_were_models_are_read_beside_newer_ones(
    tmp_path: Path,
) -> None:
    """Their parts lack the column, and their verdicts in the log end with the peers."""
    steps = history(1, 300)
    store = make(tmp_path / "s")
    feed(store, steps[:200])
    store.compact({})
    feed(store, steps[200:])
    store.close()
    (part,) = (tmp_path / "s" / "decisions").iterdir()
    layout.publish(
        tmp_path / "s", f"decisions/{part.name}", parquet(read_parquet(part).drop(["model"]), "{}")
    )
    models = read(tmp_path / "s").arrow("decisions")["model"].to_pylist()
    known = [v.model for _, verdicts in steps[200:] for v in verdicts]
    assert models == [None] * (len(models) - len(known)) + known
    assert "v1, ei 0.5" in known
    assert len(list(read_history(tmp_path / "s"))) == 300
    old = encode(1, Ticked(0.0), ()).replace(
        "}", ',"verdicts":[["t1",1,3,"pause","asha",null,1,0.5,0.25,1,4]]}'
    )
    assert decode(old).verdicts[0].model is None


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 120),
    crashes=st.lists(st.integers(0, 119), max_size=3),
    compactions=st.lists(st.integers(0, 119), max_size=3),
)
def test_live_recovered_and_read_agree(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    count: int,
    crashes: list[int],
    compactions: list[int],
) -> None:
    path = tmp_path_factory.mktemp("s") / "s"
    world, steps = World(seed), []
    store = make(path)
    steps.append(world.open())
    feed(store, steps)
    for number, step in enumerate(world.steps(count)):
        feed(store, [step])
        steps.append(step)
        if number in compactions:
            store.compact({"at": number})
        if number in crashes:
            die(store)
            store = reopen(path)
            steps.append(world.open())
            feed(store, steps[-1:])
    agree(path, steps)
    live = store._fold
    assert shown(live.tables().trials) == shown(expected(steps).tables().trials)
    assert canonical(live.extras()) == canonical(expected(steps).extras())
    die(store)
    assert verify(path) == []


def test_open_gives_the_snapshots_state_and_what_came_after_it(tmp_path: Path) -> None:
    steps = history(2, 60)
    store = make(tmp_path / "s")
    feed(store, steps[:40])
    store.compact({"upto": 40})
    feed(store, steps[40:])
    die(store)
    store, recovered = Store.open(tmp_path / "s", clock=ManualClock())
    assert recovered.state == {"upto": 40}
    assert [encode(*record) for record in recovered.records] == text_of(steps)[40:]
    assert store.epoch == 2
    die(store)


def test_recovery_of_a_clean_store_changes_no_record(tmp_path: Path) -> None:
    steps = history(3, 50)
    store = make(tmp_path / "s")
    feed(store, steps)
    store.close()
    for _ in range(3):
        reopen(tmp_path / "s").close()
        agree(tmp_path / "s", steps)


def test_a_record_that_is_no_plain_data_is_refused_and_leaves_no_trace(tmp_path: Path) -> None:
    store = make(tmp_path / "s")
    steps = history(4, 5)
    feed(store, steps)
    bad = Reported(9.0, "t000000", 1, [1], [0.1], {"loss": [object()]})
    with pytest.raises(ReportError, match="plain"):
        store.append(bad)
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(ReportError, match="cannot be recorded"):
        store.append(bad._replace(metrics={"loss": [loop]}))
    store.close()
    agree(tmp_path / "s", steps)


def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    store = make(tmp_path / "s")
    with pytest.raises(StoreFormatError, match=r"already holds the sweep 'world'.*resume"):
        make(tmp_path / "s")
    store.close()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(StoreFormatError, match="is not empty and holds no sweep"):
        make(tmp_path / "mine")
    with pytest.raises(StoreFormatError, match="is not a sweep directory"):
        Store.open(tmp_path / "mine", clock=ManualClock())
    with pytest.raises(StoreFormatError, match="is not a sweep directory"):
        read(tmp_path / "nowhere")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "s").close()
    file = tmp_path / "s" / "SWEEP.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 2}))
    with pytest.raises(
        StoreFormatError, match=r"newer raysweep \(format 2; this one reads 1\): upg"
    ):
        Store.open(tmp_path / "s", clock=ManualClock())
    with pytest.raises(StoreFormatError, match="newer raysweep"):
        read(tmp_path / "s")


def test_a_second_driver_is_refused_and_told_whose_sweep_it_is(tmp_path: Path) -> None:
    store = make(tmp_path / "s")
    with pytest.raises(StoreBusy, match=r"pid \d+ on host .*take_over=True"):
        Store.open(tmp_path / "s", clock=ManualClock())
    assert read(tmp_path / "s").status()["state"] == "running"
    store.close()
    reopen(tmp_path / "s").close()


def test_who_takes_over_fences_the_first(tmp_path: Path) -> None:
    steps = history(5, 40)
    first = make(tmp_path / "s")
    feed(first, steps[:30])
    second, recovered = Store.open(tmp_path / "s", clock=ManualClock(), take_over=True)
    assert len(list(recovered.records)) == 30
    first.append(Ticked(99.0))
    with pytest.raises(StoreFenced, match=r"epoch 2 .* must stop"):
        first.commit(durable=True)
    with pytest.raises(StoreFenced):
        first.compact({})
    feed(second, steps[30:])
    agree(tmp_path / "s", steps)
    die(first)
    with pytest.raises(StoreBusy):
        Store.open(tmp_path / "s", clock=ManualClock())
    second.close()
    reopen(tmp_path / "s").close()
    agree(tmp_path / "s", steps)
    assert verify(tmp_path / "s") == []


def test_a_compaction_is_due_after_so_many_rows_or_so_much_time(tmp_path: Path) -> None:
    clock = ManualClock()
    store = Store.create(
        tmp_path / "s", dict(MANIFEST), clock=clock, compact_rows=50, compact_s=10.0
    )
    assert not store.due
    feed(store, history(6, 10))
    assert not store.due
    clock.sleep(11.0)
    assert store.due
    store.compact({})
    assert not store.due
    for lsn in range(50):
        assert store.append(Ticked(float(lsn))) == 11 + lsn
    assert store.due
    store.close()


def test_the_log_is_emptied_by_a_compaction(tmp_path: Path) -> None:
    store = make(tmp_path / "s")
    feed(store, history(7, 40))
    store.compact({})
    store.append(Ticked(50.0))
    store.close()
    assert [lsn for lsn, _ in image.load(tmp_path / "s").log.records] == [41]
    assert len(list((tmp_path / "s" / "wal").iterdir())) == 1
