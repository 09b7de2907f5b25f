"""What a supervisor says of codex's end: what cannot be read is no good end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_runner.domain.host import Lost
from codex_runner.domain.run import ProcessExit, StopReason, Sweep
from codex_runner.transports.directory import AttemptDirectory, parse_exit

WRITTEN = {
    "code": "0",
    "signal": "-",
    "stopped": "none",
    "cksum": "4294967295",
    "bytes": "412",
    "stderr_bytes": "7",
    "swept": "clean",
    "killed": "0",
}


def text(**values):
    return "".join(f"{key} {value}\n" for key, value in {**WRITTEN, **values}.items() if value is not None)


def test_what_a_supervisor_writes():
    good = ProcessExit(0, None, StopReason.NONE, 412, 4294967295, 7, Sweep.CLEAN, 0)
    assert parse_exit(text()) == good
    assert parse_exit(text() + "   \n") == good, "on a full disk it is written into a file of blanks"
    assert parse_exit(text(code="0   ", stopped="none  ")) == good
    assert parse_exit(text(code="-", signal="9")).signal == 9
    assert parse_exit(text(code="-")).code is None


@pytest.mark.parametrize(
    "values",
    [
        *({key: None} for key in WRITTEN),
        *({key: ""} for key in WRITTEN),
        *({key: "x"} for key in WRITTEN),
        *({key: "-1"} for key in ("code", "signal", "bytes", "cksum", "stderr_bytes", "killed")),
        *({key: "-"} for key in ("bytes", "cksum", "stderr_bytes", "killed")),
        *({"code": word} for word in ("+0", "0x0", "0.0", "1_0", " 0", "\u0660", "0 0", "true")),
        {"code": "0", "signal": "9"},
        {"stopped": "None"},
        {"stopped": "none lingered"},
        {"swept": "CLEAN"},
    ],
)
def test_what_cannot_be_read_is_lost(values):
    lost = parse_exit(text(**values))
    assert isinstance(lost, Lost)
    assert "cannot be read" in lost.message


@given(st.text(max_size=60))
def test_any_other_text_is_lost(found):
    assert isinstance(parse_exit(found), Lost)


@given(st.integers(0, len(text()) - 2))
def test_a_part_of_it_is_lost(size):
    assert isinstance(parse_exit(text()[:size]), Lost)


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "exit").write_bytes(b"\xff\xfecode 0\n")
    assert isinstance(AttemptDirectory(tmp_path).exit(), Lost)
    (tmp_path / "pid").write_text("machine boot four born node")
    assert AttemptDirectory(tmp_path).lost() == "the supervisor's pid file is damaged"
