"""codex's own record of a run, read from every kind of host."""

import pytest
from support.launches import collect, launch

from codex_runner.codex.rollout import has_reply, read_rollout


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


COMPLETE = '{"type":"event_msg","payload":{"type":"task_complete","turn_id":"t","last_agent_message":%s}}\n'
STARTED = '{"type":"event_msg","payload":{"type":"task_started"}}\n'
QUOTED = '{"type":"response_item","payload":{"text":"\\"type\\":\\"task_complete\\""}}\n'


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (STARTED + COMPLETE % '"done"' + QUOTED, True),
        (STARTED + COMPLETE % "null" + QUOTED, False),
        (COMPLETE % "null" + STARTED + COMPLETE % '"done"', True),
        (COMPLETE % '"done"' + STARTED + COMPLETE % "null", False),
        # What does not say it for the last turn says nothing.
        (COMPLETE % "null" + STARTED, None),
        (COMPLETE % "7", None),
        (COMPLETE % '""', None),
        ('{"type":"event_msg","payload":{"type":"task_complete"}}\n', None),
        ('{"type":"task_complete"\n', None),
        (QUOTED, None),
        ("", None),
    ],
)
def test_whether_the_last_turn_ended_with_a_message(host, run, pid_file, record, said):
    async def work():
        job = launch("reply")
        await host.start(job)
        await collect(host, job.run_id)
        sessions = pid_file(job.run_id).parents[2] / "home/sessions/2026/01/02"
        sessions.mkdir(parents=True)
        (sessions / "rollout-1-other.jsonl").write_text(COMPLETE % "null")
        (sessions / "rollout-1-mine.jsonl").write_text(record)
        assert await has_reply(host, job.run_id, "../mine", timeout=10) is None
        assert await has_reply(host, job.run_id, "nobodys", timeout=10) is None
        return await has_reply(host, job.run_id, "mine", timeout=10)

    assert run(work()) is said
