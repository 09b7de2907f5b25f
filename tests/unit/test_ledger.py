import contextlib
import random
import sqlite3
import subprocess
import sys
import threading
from decimal import Decimal

import pytest

from codex_runner.domain.errors import BudgetSpentError
from codex_runner.domain.exit_code import ExitCode
from codex_runner.ledger import Ledger, LedgerError

NOON = 1_772_625_600.0  # 2026-03-04 12:00 UTC
DAY = 86400.0
LATER = NOON + 1800


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "ledger.sqlite"


@pytest.fixture
def ledger(path):
    return Ledger(path)


def rows(path, workflow="docs", day=None):
    """What the file says of a workflow: the sums of its runs, tokens, what is set aside for them, and money."""
    with contextlib.closing(sqlite3.connect(path)) as file:
        found = file.execute(
            "SELECT tokens, max(0, reserved - tokens), money FROM spending WHERE workflow = ? AND day = ifnull(?, day)",
            (workflow, day),
        ).fetchall()
    money = sum((Decimal(each) for _, _, each in found if each is not None), Decimal(0))
    return len(found), sum(each[0] for each in found), sum(each[1] for each in found), money


def test_reserve_and_charge(ledger, path):
    ledger.reserve("docs", "run-1", 500, now=NOON, until=LATER, limit=1000)
    assert rows(path) == (1, 0, 500, Decimal(0))
    ledger.charge("docs", "run-1", 200, now=NOON, money=None, final=False)
    assert rows(path) == (1, 200, 300, Decimal(0))
    ledger.charge("docs", "run-1", 320, now=NOON, money=Decimal("0.10"), final=True)
    ledger.charge("docs", "run-1", 320, now=NOON, money=Decimal("0.10"), final=True)
    ledger.charge("docs", "run-2", 10, now=NOON, money=Decimal("0.20"), final=True)
    assert rows(path) == (2, 330, 0, Decimal("0.30"))
    assert rows(path, "other") == (0, 0, 0, Decimal(0))


def test_a_day_is_a_utc_day(ledger, path):
    ledger.charge("docs", "a", 5, now=NOON + DAY / 2 - 1, money=None, final=True)
    ledger.charge("docs", "b", 7, now=NOON + DAY / 2, money=None, final=True)
    assert rows(path, day="2026-03-04")[1] == 5
    assert rows(path, day="2026-03-05")[1] == 7


def test_what_does_not_fit_is_refused_with_the_figures(ledger, path):
    ledger.charge("docs", "a", 600, now=NOON, money=None, final=True)
    ledger.reserve("docs", "b", 300, now=NOON, until=LATER, limit=1000)
    with pytest.raises(
        BudgetSpentError, match=r"100 of 1,000 tokens left.*may need 101.*600 are spent and 300"
    ) as info:
        ledger.reserve("docs", "c", 101, now=NOON, until=LATER, limit=1000)
    assert info.value.exit_code is ExitCode.BUDGET
    assert rows(path)[0] == 2
    ledger.reserve("docs", "c", 100, now=NOON, until=LATER, limit=1000)
    with pytest.raises(BudgetSpentError):  # a run without a budget of its own needs something to be left
        ledger.reserve("docs", "d", 0, now=NOON, until=LATER, limit=1000)
    ledger.reserve("docs", "d", 0, now=NOON + DAY, until=LATER + DAY, limit=1000)
    ledger.reserve("docs", "e", 10**9, now=NOON, until=LATER, limit=None)


def test_reserving_again_for_the_same_run_takes_nothing_more(ledger, path):
    for _ in range(3):
        ledger.reserve("docs", "a", 900, now=NOON, until=LATER, limit=1000)
    assert rows(path)[2] == 900


def test_a_killed_run_blocks_nobody_after_its_time(ledger):
    ledger.reserve("docs", "a", 900, now=NOON, until=LATER, limit=1000)
    ledger.charge("docs", "a", 50, now=NOON, money=None, final=False)
    with pytest.raises(BudgetSpentError):
        ledger.reserve("docs", "b", 900, now=LATER - 1, until=LATER, limit=1000)
    ledger.reserve("docs", "b", 900, now=LATER, until=LATER + 1, limit=1000)


def test_old_days_are_forgotten(ledger, path):
    ledger.charge("docs", "a", 5, now=NOON - 401 * DAY, money=None, final=True)
    ledger.charge("docs", "b", 5, now=NOON - 399 * DAY, money=None, final=True)
    ledger.reserve("docs", "c", 0, now=NOON, until=LATER, limit=None)
    with sqlite3.connect(path) as file:
        assert file.execute("SELECT run_id FROM spending ORDER BY 1").fetchall() == [("b",), ("c",)]
    file.close()


def test_the_folder_is_private(ledger, path):
    ledger.reserve("docs", "a", 1, now=NOON, until=LATER, limit=None)
    assert path.parent.stat().st_mode & 0o777 == 0o700


CHILD = """
import sys
from pathlib import Path
from codex_runner.domain.errors import BudgetSpentError
from codex_runner.ledger import Ledger
ledger, now = Ledger(Path(sys.argv[1])), float(sys.argv[3])
for n in range(15):
    try:
        ledger.reserve("docs", f"{sys.argv[2]}-{n}", 100, now=now, until=now + 60, limit=2000)
    except BudgetSpentError:
        continue
    ledger.charge("docs", f"{sys.argv[2]}-{n}", 100, now=now, money=None, final=True)
    print("taken", flush=True)
"""


def test_runs_at_once_never_take_more_than_there_is(ledger, path):
    children = [
        subprocess.Popen([sys.executable, "-c", CHILD, path, str(n), str(NOON)], stdout=subprocess.PIPE, text=True)
        for n in range(3)
    ]
    taken = sum(child.communicate(timeout=60)[0].count("taken") for child in children)
    assert [child.returncode for child in children] == [0, 0, 0]
    assert taken == 20
    assert rows(path) == (20, 2000, 0, Decimal(0))


def test_a_child_that_is_killed_leaves_a_whole_ledger(ledger, path):
    ledger.charge("docs", "first", 1, now=NOON, money=None, final=True)
    loop = CHILD.replace("range(15)", "range(10**6)").replace("2000", "10**9")
    for seed in range(5):
        child = subprocess.Popen([sys.executable, "-c", loop, path, f"k{seed}", str(NOON)], stdout=subprocess.PIPE)
        child.stdout.readline()
        timer = threading.Timer(random.Random(seed).random() / 20, child.kill)
        timer.start()
        child.communicate(timeout=60)
        timer.join()
        runs, spent, reserved, _ = rows(path)
        assert spent + reserved == 1 + 100 * (runs - 1)


def test_a_damaged_file_is_named(ledger, path):
    ledger.reserve("docs", "a", 1, now=NOON, until=LATER, limit=None)
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    with pytest.raises(LedgerError, match="is damaged") as info:
        ledger.reserve("docs", "a", 1, now=NOON, until=LATER, limit=None)
    assert str(path) in info.value.message
    assert info.value.exit_code is ExitCode.CONFIGURATION
    assert "move it away" in info.value.remedy


def test_half_a_file_is_named(ledger, path):
    for n in range(30):
        ledger.charge("docs" * 500, f"run-{n}", 1, now=NOON, money=None, final=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(LedgerError, match="is damaged"):
        ledger.reserve("docs", "a", 1, now=NOON, until=LATER, limit=None)


def test_somebody_elses_database_is_left_alone(ledger, path):
    path.parent.mkdir()
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE theirs (x)")
    file.close()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="another program"):
        ledger.charge("docs", "a", 1, now=NOON, money=None, final=True)
    assert path.read_bytes() == before


def test_a_newer_ledger_is_refused(ledger, path):
    ledger.reserve("docs", "a", 1, now=NOON, until=LATER, limit=None)
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA user_version = 2")
    file.close()
    with pytest.raises(LedgerError, match="version 2"):
        ledger.reserve("docs", "a", 1, now=NOON, until=LATER, limit=None)


def test_a_place_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="cannot be used"):
        Ledger(tmp_path / "file" / "ledger").reserve("docs", "a", 1, now=NOON, until=LATER, limit=None)
    with pytest.raises(LedgerError, match="cannot be used"):
        Ledger(tmp_path).reserve("docs", "a", 1, now=NOON, until=LATER, limit=None)
