"""What a supervisor wrote of codex's end, and somebody damaged: the attempt is lost, and never a good one."""

import pytest
from support.launches import collect, launch

from codex_runner.domain.host import Lost


@pytest.mark.parametrize(("key", "value"), [("code", "fine"), ("stopped", "unheard-of"), ("signal", "9")])
def test_an_end_that_cannot_be_read_is_lost_at_once(host, run, pid_file, key, value):
    job = launch("reply", prompt=b"hello")

    async def work():
        await host.start(job)
        *_, good = await collect(host, job.run_id)
        file = pid_file(job.run_id).with_name("exit")
        lines = [f"{key} {value}" if line.startswith(f"{key} ") else line for line in file.read_text().splitlines()]
        file.write_text("\n".join(lines) + "\n")
        return good, await collect(host, job.run_id)

    good, (*_, how) = run(work())
    assert good.exit.code == 0
    assert isinstance(how, Lost)
    assert "cannot be read" in how.message
    assert value in how.message
