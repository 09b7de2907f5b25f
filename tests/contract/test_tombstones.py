"""A run that was discarded stays discarded, on every host: nothing is started, run or asked for it any more."""

import pytest
from support.launches import collect, launch

from codex_runner.domain.errors import RunGoneError
from codex_runner.domain.run import new_run_id


def test_nothing_is_done_for_a_run_that_was_discarded(host, run, tmp_path):
    job = launch("reply", cwd=tmp_path, environment={"CHILD_STARTS": str(tmp_path / "starts")})

    async def work():
        host.name_run(job.run_id)
        await host.start(job)
        await collect(host, job.run_id)
        assert (await host.execute("echo in time")).output == b"in time\n"
        await host.discard(job.run_id)
        for late in (
            host.start(job),
            host.start(launch("reply", run_id=job.run_id, attempt=2, cwd=tmp_path)),
            host.execute('touch "$1"', arguments=(str(tmp_path / "late"),)),
            host.ask('touch "$1"', arguments=(str(tmp_path / "late"),)),
        ):
            with pytest.raises(RunGoneError, match="discarded"):
                await late
        await host.discard(job.run_id)
        host.name_run(None)
        assert (await host.execute("echo no run")).output == b"no run\n"
        other = launch("reply")
        assert (await host.start(other)).new
        await collect(host, other.run_id)
        await host.discard(other.run_id)

    run(work())
    assert [path.name for path in tmp_path.iterdir()] == ["starts"]
    assert (tmp_path / "starts").read_text().count("\n") == 1


def test_nothing_is_done_for_a_run_that_never_came_to_the_host(host, run):
    """Its start was given up, and may yet arrive."""

    async def work():
        run_id = new_run_id("test")
        await host.discard(run_id)
        with pytest.raises(RunGoneError, match="discarded"):
            await host.start(launch("reply", run_id=run_id))

    run(work())
