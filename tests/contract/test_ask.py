"""`Transport.ask`: a script's answer, apart from everything else that a host prints."""

import pytest
from support.launches import processes_of


def test_the_answer_is_stdout_alone_byte_for_byte(host, run):
    done = run(host.ask(r"echo no >&2; printf 'a\000\377\n\nb'; echo 'nor this' >&2; exit 3"))
    assert (done.exit_code, done.output) == (3, b"a\0\xff\n\nb")
    assert done.complaint.endswith(b"no\nnor this\n")
    assert done.last_words.endswith("nor this")


def test_arguments_environment_and_folder_are_those_of_a_command(host, run, tmp_path):
    hostile = ["", "$(touch pwned)", "a b", "", "'\"", "-n", "new\nline", "*", ""]
    script = r'printf "<%s>" "$NOTE" "$(pwd)" "$@"'
    done = run(host.ask(script, cwd=str(tmp_path), arguments=hostile, environment={"NOTE": "two\nlines"}))
    assert done.output.decode() == "".join(f"<{each}>" for each in ["two\nlines", str(tmp_path), *hostile])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("printed", "answered"), [(1_000_000, 1_000_000), (1_100_000, 0)])
def test_an_answer_is_whole_or_none(host, run, printed, answered):
    """And a complaint may be as long as it likes: the end of it is kept."""
    done = run(host.ask(f"head -c {printed} /dev/zero; head -c 3000000 /dev/zero >&2; echo >&2; echo the end >&2"))
    assert len(done.output) == answered
    assert done.last_words.endswith("the end")
    assert len(done.complaint) <= 3 << 20


def test_what_takes_too_long_has_answered_so_far(host, run):
    done = run(host.ask("echo before; echo why >&2; sleep 600 & sleep 600", timeout=0.5))
    assert (done.exit_code, done.output) == (None, b"before\n")
    assert done.last_words.endswith("why")


def test_a_script_that_asks_and_a_command_that_runs_follow_each_other(host, run):
    """Over SSH they share a session: what one leaves unread would be the next one's answer."""

    async def several():
        return [
            await call(f"echo {number}; echo {number} >&2") for number, call in enumerate([host.ask, host.execute] * 3)
        ]

    done = run(several())
    assert [each.output for each in done] == [b"0\n", b"1\n1\n", b"2\n", b"3\n3\n", b"4\n", b"5\n5\n"]
    assert [each.complaint for each in done] == [b"0\n", b"", b"2\n", b"", b"4\n", b""]


def test_nothing_that_it_started_is_alive_once_it_has_answered(host, run, tmp_path):
    """Not only told to go: whoever looks at once must find nothing."""
    many = "for _ in 1 2 3 4 5 6 7 8 9 10; do sleep 600 & sleep 600 & sleep 600 & done; echo started"
    done = run(host.ask(many, environment={"NOTE": str(tmp_path)}))
    assert (done.exit_code, processes_of(str(tmp_path))) == (0, [])
