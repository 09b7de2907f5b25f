"""What the journal promises: nothing that was recorded is lost, whatever ends the process or the machine."""

import dataclasses
import errno
import json
import os
import resource
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import event_samples, records

from codex_runner.domain import event as ev
from codex_runner.domain.errors import ConfigurationError, LockedError, RunnerError, UsageError
from codex_runner.domain.event import Position
from codex_runner.domain.folder import RunFolder
from codex_runner.sinks.jsonl import FileJournal, last_event, read_records, to_line


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "out" / "20260102T030405Z-docs-0a1b2c3d")


def script(count=12):
    """A run: before each record, what codex wrote to stdout and stderr, which the record then stands for."""
    out, err, steps = 0, 0, []
    for record in records(event_samples("größe\n")[:count]):
        stdout, stderr = b"o" * (record.seq % 4) + b"\n", b"e" * (record.seq % 3)
        out, err = out + len(stdout), err + len(stderr)
        at = Position(stdout=out + 100, stderr=err, stdout_copy=out, stderr_copy=err, stdout_crc=record.seq)
        steps.append((stdout, stderr, dataclasses.replace(record, position=at)))
    return steps


def write(journal, steps):
    for stdout, stderr, record in steps:
        journal.copy("stdout", stdout)
        journal.copy("stderr", stderr)
        journal.append(record)


def contents(folder):
    return [path.read_bytes() for path in (folder.events, folder.codex, folder.stderr)]


def test_a_run_is_written_and_read_back(folder):
    steps = script(100)
    journal = FileJournal.create(folder)
    write(journal, steps)
    # Before close: nothing waits in a buffer.
    assert list(read_records(folder.events)) == [record for *_, record in steps]
    assert folder.codex.read_bytes() == b"".join(stdout for stdout, _, _ in steps)
    assert folder.stderr.read_bytes() == b"".join(stderr for _, stderr, _ in steps)
    journal.close()
    journal.close()


def test_nobody_else_may_look(folder):
    before = os.umask(0)
    try:
        FileJournal.create(folder).close()
    finally:
        os.umask(before)
    assert folder.path.stat().st_mode & 0o777 == 0o700
    for path in (folder.events, folder.codex, folder.stderr):
        assert path.stat().st_mode & 0o777 == 0o600
        path.chmod(0o644)
    FileJournal.recover(folder)[1].close()
    for path in (folder.events, folder.codex, folder.stderr):
        assert path.stat().st_mode & 0o777 == 0o600


def test_bytes_come_before_the_record_that_stands_for_them(folder):
    """Seen from outside: at no moment does events.jsonl name more than the copies hold."""
    journal = FileJournal.create(folder)
    for stdout, stderr, record in script(30):
        journal.copy("stdout", stdout)
        journal.copy("stderr", stderr)
        last = list(read_records(folder.events))[-1:]
        assert all(each.position.stdout_copy <= folder.codex.stat().st_size for each in last)
        journal.append(record)
    journal.close()


_STEPS = script()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = RunFolder(tmp_path_factory.mktemp("whole"))
    journal = FileJournal.create(folder)
    write(journal, _STEPS)
    journal.close()
    return contents(folder)


@given(data=st.data())
def test_cut_anywhere_it_goes_on_as_if_nothing_had_happened(tmp_path_factory, whole, data):
    cuts = [data.draw(st.integers(0, len(content))) for content in whole]
    tail = data.draw(st.sampled_from([b"", b"\0" * 50, b'{"torn', b"\xff\n", b"null\n", b'{"schema":1}\n']))
    folder = RunFolder(tmp_path_factory.mktemp("cut"))
    for path, content, cut in zip((folder.events, folder.codex, folder.stderr), whole, cuts, strict=True):
        path.write_bytes(content[:cut])
    with folder.events.open("ab") as events:
        events.write(tail)
    found, journal = FileJournal.recover(folder)
    kept = list(found)
    assert kept == [record for *_, record in _STEPS[: len(kept)]]
    # As much as can be: the next record is torn, or its copies are not whole.
    if len(kept) < len(_STEPS):
        after = _STEPS[len(kept)][2].position
        whole_lines = whole[0][: cuts[0]].count(b"\n")
        assert whole_lines == len(kept) or after.stdout_copy > cuts[1] or after.stderr_copy > cuts[2]
    write(journal, _STEPS[len(kept) :])
    journal.close()
    assert contents(folder) == whole


def test_cut_at_each_byte_of_events(folder):
    journal = FileJournal.create(folder)
    write(journal, _STEPS[:4])
    journal.close()
    whole = contents(folder)
    ends = [i + 1 for i, byte in enumerate(whole[0]) if byte == 0x0A]
    for cut in range(len(whole[0]) + 1):
        folder.events.write_bytes(whole[0][:cut])
        folder.codex.write_bytes(whole[1])
        folder.stderr.write_bytes(whole[2])
        found, journal = FileJournal.recover(folder)
        assert len(list(found)) == sum(end <= cut for end in ends)
        journal.close()


_WRITER = """
import sys
from pathlib import Path
from codex_runner.domain.folder import RunFolder
from codex_runner.sinks.jsonl import FileJournal
from support.records import event_samples, records
journal = FileJournal.create(RunFolder(Path(sys.argv[1])))
print("ready", flush=True)
for record in records(event_samples("x" * 2000) * 1000):
    journal.append(record)
"""


def test_killed_while_it_writes_nothing_whole_is_lost(folder):
    path = os.pathsep.join(sys.path)
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(folder.path)], env={"PYTHONPATH": path}, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout.readline() == b"ready\n"
        while folder.events.stat().st_size < 1_000_000:
            assert child.poll() is None
        child.send_signal(signal.SIGKILL)
    lines = folder.events.read_bytes().count(b"\n")
    found, journal = FileJournal.recover(folder)  # the lock went with the process
    assert sum(1 for _ in found) == lines
    journal.close()


def test_reopened_it_keeps_every_record_although_its_copies_are_gone(folder):
    """A folder that was copied in part must not lose what it has."""
    journal = FileJournal.create(folder)
    write(journal, _STEPS[:4])
    journal.close()
    folder.codex.unlink()
    with folder.events.open("ab") as events:
        events.write(b'{"torn')
    found, journal = FileJournal.reopen(folder)
    assert list(found) == [record for *_, record in _STEPS[:4]]
    with pytest.raises(LockedError):
        FileJournal.reopen(folder)
    journal.append(_STEPS[4][2])
    journal.close()
    assert list(read_records(folder.events)) == [record for *_, record in _STEPS[:5]]
    assert not folder.codex.exists()


@pytest.mark.parametrize("size", [10, 5000, 40_000])
def test_the_last_event_is_found_without_reading_all(folder, size):
    assert last_event(folder.events) == {}
    journal = FileJournal.create(folder)
    for record in records([ev.Warned("first", "x" * 9000), ev.Warned("last", "y" * size)]):
        journal.append(record)
    journal.close()
    with folder.events.open("ab") as events:
        events.write(b'{"torn' + b"z" * 5000)
    assert last_event(folder.events) == {"kind": "warning", "code": "last", "message": "y" * size}


def test_two_runners_never_write_one_folder(folder):
    first = FileJournal.create(folder)
    with pytest.raises(LockedError, match=r"Another runner is writing .*20260102T030405Z-docs-0a1b2c3d"):
        FileJournal.recover(folder)
    with pytest.raises(UsageError, match="holds a run"):
        FileJournal.create(folder)
    first.close()
    FileJournal.recover(folder)[1].close()


def test_a_folder_with_a_run_in_it_is_refused_and_left_alone(folder):
    journal = FileJournal.create(folder)
    write(journal, _STEPS)
    journal.close()
    before = contents(folder)
    with pytest.raises(UsageError, match=r"events\.jsonl exists already"):
        FileJournal.create(folder)
    assert contents(folder) == before


def test_a_link_is_not_followed(folder, tmp_path):
    folder.path.mkdir(parents=True)
    target = tmp_path / "target"
    target.write_text("precious")
    folder.codex.symlink_to(target)
    with pytest.raises(UsageError, match=r"codex\.jsonl exists already"):
        FileJournal.create(folder)
    folder.events.touch()
    with pytest.raises(ConfigurationError, match=r"codex\.jsonl cannot be opened"):
        FileJournal.recover(folder)
    assert target.read_text() == "precious"


def test_no_run_is_a_usage_error(folder):
    with pytest.raises(UsageError, match="holds no run"):
        FileJournal.recover(folder)


def _lines(folder, change):
    FileJournal.create(folder).close()
    lines = [json.loads(to_line(record)) for *_, record in script(5)]
    for line in lines:
        line["codex_length"] = line["stderr_length"] = 0
    change(lines)
    folder.events.write_text("".join(f"{json.dumps(line)}\n" if isinstance(line, dict) else line for line in lines))


def test_a_gap_is_told(folder):
    _lines(folder, lambda lines: lines.pop(2))
    with pytest.raises(RunnerError, match=r"events\.jsonl, line 3: record 4 follows record 2") as caught:
        FileJournal.recover(folder)
    assert "new run" in caught.value.remedy
    with pytest.raises(RunnerError, match="record 4 follows record 2"):
        list(read_records(folder.events))


def test_a_damaged_line_in_the_middle_is_told(folder):
    _lines(folder, lambda lines: lines.__setitem__(2, "garbage\n"))
    with pytest.raises(RunnerError, match="line 3 cannot be read, but others follow it"):
        FileJournal.recover(folder)


def test_a_newer_schema_is_told(folder):
    _lines(folder, lambda lines: lines[1].update(schema=99, event={"shape": "unknown"}))
    with pytest.raises(UsageError, match=r"line 2: schema 99, but this version reads 1") as caught:
        FileJournal.recover(folder)
    assert "newer" in caught.value.remedy
    before = folder.events.read_bytes()
    with pytest.raises(UsageError):
        FileJournal.recover(folder)
    assert folder.events.read_bytes() == before, "an error cut the file"


def test_an_unknown_kind_of_a_newer_writer_is_kept(folder):
    _lines(folder, lambda lines: lines[1].update(event={"kind": "later", "x": 1}))
    assert list(read_records(folder.events))[1].event == ev.OtherEvent("later", {"x": 1})


def test_an_error_lets_go_of_the_lock(folder):
    _lines(folder, lambda lines: lines.pop(2))
    for _ in range(2):
        with pytest.raises(RunnerError, match="record 4"):
            FileJournal.recover(folder)


def test_records_must_follow_each_other(folder):
    journal = FileJournal.create(folder)
    first, second, third = (record for *_, record in script(3))
    journal.append(first)
    with pytest.raises(RunnerError, match="Record 3 does not follow record 1"):
        journal.append(third)
    journal.append(second)
    journal.close()


def test_what_is_nested_too_deeply_does_not_end_a_run(folder):
    deep = []
    for _ in range(5000):
        deep = [deep]
    journal = FileJournal.create(folder)
    journal.append(ev.Record(1, 1.0, 1, Position(), ev.OtherEvent("deep", deep)))
    journal.close()
    (record,) = read_records(folder.events)
    assert isinstance(record.event, ev.Unparsed)
    assert "OtherEvent" in record.event.text


@pytest.mark.parametrize("kind", ["events", "codex"])
def test_a_full_disk_is_told_by_the_file_and_leaves_it_readable(folder, kind):
    journal = FileJournal.create(folder)
    small, large = (record for *_, record in script(2))
    journal.append(small)
    journal.copy("stdout", b"kept\n")
    before = contents(folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A limit on file sizes fails a write in the middle, as a full disk does (EFBIG for ENOSPC).
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before[0]) + 100, hard))
    too_much = dataclasses.replace(large, event=ev.StreamError("x" * 10_000))
    write_it = {"events": lambda: journal.append(too_much), "codex": lambda: journal.copy("stdout", b"x" * 10_000)}
    try:
        with pytest.raises(ConfigurationError, match=rf"{kind}\.jsonl cannot be written: {os.strerror(errno.EFBIG)}"):
            write_it[kind]()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert contents(folder) == before
    journal.append(large)  # there is room again
    journal.close()
    assert len(list(read_records(folder.events))) == 2


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"file/run cannot be made: Not a directory") as caught:
        FileJournal.create(RunFolder(tmp_path / "file" / "run"))
    assert "`-o`" in caught.value.remedy


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(ConfigurationError, match=r"events\.jsonl cannot be read"):
        list(read_records(tmp_path / "events.jsonl"))


def test_a_descriptor_does_not_reach_children(folder):
    journal = FileJournal.create(folder)
    listed = (
        subprocess.run(
            ["/bin/sh", "-c", "ls -l /proc/self/fd"], close_fds=False, capture_output=True, text=True, check=True
        ).stdout
        if Path("/proc/self/fd").exists()
        else ""
    )
    assert "jsonl" not in listed
    journal.close()


def test_memory_stays_flat(folder):
    journal = FileJournal.create(folder)
    for record in records([ev.StreamError("x" * 1_000_000)] * 30):
        journal.append(record)
    journal.close()
    tracemalloc.start()
    try:
        found, journal = FileJournal.recover(folder)
        assert sum(1 for _ in found) == 30
        journal.close()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12_000_000
