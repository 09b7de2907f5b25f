"""What a machine refuses is no bug; everything else is."""

import errno
import os

import pytest

from codex_runner.domain.errors import ConfigurationError, HostError
from codex_runner.domain.machine import machine_fault


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EIO])
def test_what_the_machine_has_no_more_of(number):
    fault = machine_fault(OSError(number, os.strerror(number)))
    assert isinstance(fault, HostError)
    assert os.strerror(number).lower() in fault.message
    assert fault.remedy


def test_threads_memory_and_temporary_folders():
    assert "threads" in machine_fault(RuntimeError("can't start new thread")).message
    assert "memory" in machine_fault(MemoryError()).message
    nowhere = FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")
    assert "TMPDIR" in machine_fault(nowhere).remedy


def test_rights_and_programs_are_the_configuration():
    for error in (PermissionError(errno.EACCES, "x", "/folder"), FileNotFoundError(errno.ENOENT, "x", "sh")):
        assert isinstance(machine_fault(error), ConfigurationError)


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), KeyError("HOME"), RuntimeError("x"), FileNotFoundError(errno.ENOENT, "x", "/file"), OSError()],
)
def test_a_bug_stays_one(error):
    assert machine_fault(error) is None
