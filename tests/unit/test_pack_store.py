"""Packs on the runner's machine: private, whole, checked when they are read, and gone after a while."""

import dataclasses
import json
import time

import pytest

from codex_runner.delivery.pack_store import PackStore
from codex_runner.domain.delivery import ChangeSet
from codex_runner.domain.errors import DeliveryError
from codex_runner.domain.exit_code import ExitCode

RUN = "20260102T030405Z-docs-0a1b2c3d"
OTHER = "20260103T030405Z-docs-0a1b2c3d"


@pytest.fixture
def store(tmp_path):
    return PackStore(tmp_path / "state" / "deliveries")


def keep(store, run=RUN, content=b"PACK...", paths=("a.md", "\udcff.md"), retention=3600.0):
    with store.staging() as staged:
        (staged / "pack").write_bytes(content)
        (staged / "lfs/aa/bb").mkdir(parents=True)
        (staged / "lfs/aa/bb/object").write_bytes(b"object")
        change = ChangeSet("b" * 40, "d" * 40, paths, dict.fromkeys(paths, "100644"), staged / "pack", ("a" * 64,))
        return store.keep(change, run=run, retention=retention)


def test_what_is_kept_is_read_again(store, tmp_path):
    kept = keep(store)
    assert kept.pack == tmp_path / "state/deliveries" / RUN / "pack"
    again = store.read(RUN)
    assert again.change == kept
    assert again.run == RUN
    assert again.change.pack.read_bytes() == b"PACK..."


def test_only_this_user_can_read_it(store, tmp_path):
    keep(store)
    for path in (tmp_path / "state/deliveries").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    assert (tmp_path / "state/deliveries").stat().st_mode & 0o777 == 0o700


def test_a_second_one_takes_the_place_of_the_first(store):
    keep(store)
    keep(store, content=b"PACK, second")
    assert store.read(RUN).change.pack.read_bytes() == b"PACK, second"


def test_staging_that_is_not_kept_leaves_nothing(store, tmp_path):
    with store.staging() as staged:
        (staged / "pack").write_bytes(b"half")
    assert list((tmp_path / "state/deliveries").iterdir()) == []


def test_another_machine_says_that_it_has_no_pack(store):
    with pytest.raises(DeliveryError, match="are not on this machine") as caught:
        store.read(RUN)
    assert caught.value.exit_code is ExitCode.DELIVERY
    assert "Deliver it on the machine whose runner" in caught.value.remedy


def test_removing_is_idempotent(store):
    keep(store)
    store.remove(RUN)
    store.remove(RUN)
    with pytest.raises(DeliveryError, match="not on this machine"):
        store.read(RUN)


def damage_pack(place):
    (place / "pack").write_bytes(b"PACK, other")


def remove_pack(place):
    (place / "pack").unlink()


def cut_facts(place):
    data = (place / "change.json").read_bytes()
    (place / "change.json").write_bytes(data[: len(data) // 2])


def change_facts(**values):
    def change(place):
        said = json.loads((place / "change.json").read_bytes())
        (place / "change.json").write_text(json.dumps({**said, **values}))

    return change


@pytest.mark.parametrize(
    "damage",
    [
        damage_pack,
        remove_pack,
        cut_facts,
        change_facts(version=2),
        change_facts(run=OTHER),
        change_facts(paths=[1]),
        change_facts(modes=[]),
        change_facts(sha256="0" * 64),
    ],
)
def test_what_is_damaged_is_refused(store, tmp_path, damage):
    keep(store)
    damage(tmp_path / "state/deliveries" / RUN)
    with pytest.raises(DeliveryError, match="damaged"):
        store.read(RUN)


def test_packs_go_after_their_retention_and_so_does_what_a_killed_runner_left(store, tmp_path):
    keep(store)
    keep(store, OTHER, retention=30 * 86400.0)
    (tmp_path / "state/deliveries/.new-left").mkdir()
    store.prune(time.time())
    assert len(list((tmp_path / "state/deliveries").iterdir())) == 3
    store.prune(time.time() + 2 * 86400)
    assert [path.name for path in (tmp_path / "state/deliveries").iterdir()] == [OTHER]
    store.prune(time.time() + 31 * 86400)
    assert list((tmp_path / "state/deliveries").iterdir()) == []


def test_without_a_folder_there_is_nothing_to_prune(store):
    store.prune()


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "state").write_text("a file\n")
    with pytest.raises(DeliveryError, match="cannot be kept"), PackStore(tmp_path / "state/deliveries").staging():
        pass


def test_a_change_says_where_its_pack_is(store):
    kept = keep(store)
    assert dataclasses.replace(kept, pack=store.read(RUN).change.pack) == kept
