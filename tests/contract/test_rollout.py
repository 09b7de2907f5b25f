"""codex's own record of a run, read from every kind of host."""

from support.launches import collect, launch

from codex_runner.codex.rollout import read_rollout


def test_every_thread_is_read_whole_and_in_order(host, run, pid_file):
    first = b'{"type":"session_meta"}\n' + b"".join(b'{"line":%d}\n' % number for number in range(150_000))
    cut, last = b'{"no end', '{"said":"größe"}\n'.encode()

    async def work():
        job = launch("reply")
        await host.start(job)
        await collect(host, job.run_id)
        assert await read_rollout(host, job.run_id) == b""
        sessions = pid_file(job.run_id).parents[2] / "home/sessions/2026/01"
        files = {
            "31/rollout-2-b": last,
            "02/rollout-1-a": first,
            "02/rollout-3-c": cut,
            "02/rollout-4-d": b"",
            "02/x": b"y",
        }
        for name, data in files.items():
            (sessions / name).parent.mkdir(parents=True, exist_ok=True)
            (sessions / f"{name}.jsonl").write_bytes(data)
        (sessions / "rollout-5-e.jsonl").symlink_to(sessions / "02/x.jsonl")
        return await read_rollout(host, job.run_id)

    assert run(work()) == first + cut + b"\n" + last
