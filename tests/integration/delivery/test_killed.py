"""A runner that is killed at any request to the forge: the next try ends with one branch and one pull request."""

import pytest
from support.forge import JOB, PAT, small_forge
from support.shore import Shore

from codex_runner.delivery import github_commits
from codex_runner.domain.delivery import DeliveryState, ForgeKind

HELLO = {"hello.txt": b"hello\n"}
LATER = {"hello.txt": b"hello again\n"}
EVERY = 60  # more than a delivery makes

WAYS = {
    "signed": (ForgeKind.GITHUB, None, {}),
    "pushed": (ForgeKind.GITHUB, PAT, {}),
    "trees": (ForgeKind.GITHUB, None, {"run.sh": "100755"}),
    "uploaded": (ForgeKind.GITHUB, None, {"run.sh": "100755"}),
    "gitlab": (ForgeKind.GITLAB, None, {}),
    "job token": (ForgeKind.GITLAB, JOB, {}),
    "job token, and the record is refused": (ForgeKind.GITLAB, JOB, {}),
    "signed, and the record is refused": (ForgeKind.GITHUB, None, {}),
    "pushed, and the record is refused": (ForgeKind.GITHUB, PAT, {}),
}
REFUSES = "#!/bin/sh\ncase $1 in refs/codex-runner/*) exit 1;; esac\n"
SOME = [range(begin, EVERY, 16) for begin in (1, 5, 9, 13)]
cases = pytest.mark.parametrize(
    ("way", "numbers", "after"),
    [
        pytest.param(way, numbers, after, marks=() if numbers == SOME[-1] and after else pytest.mark.thorough)
        for way in WAYS
        for numbers in SOME
        for after in (True, False)
    ],
)


def shores(folder, way, numbers):
    """Yield a new forge for each request at which the runner is killed, and the modes of the agent's files."""
    kind, token, modes = WAYS[way]
    for number in numbers:
        place = folder / str(number)
        place.mkdir()
        with small_forge(place) as forge:
            if "refused" in way:
                hook = forge.repository.path / "hooks" / "update"
                hook.parent.mkdir(exist_ok=True)
                hook.write_text(REFUSES)
                hook.chmod(0o755)
            yield number, Shore(forge, place, kind, token, labels=("documentation",)), modes


@pytest.fixture(autouse=True)
def small_trees(request, monkeypatch):
    if request.node.callspec.params["way"] == "uploaded":
        monkeypatch.setattr(github_commits, "_TREES_BYTES", 0)


def files(content, modes):
    return content | dict.fromkeys(modes, b"#!/bin/sh\n")


@cases
def test_a_first_night_that_is_killed_anywhere(tmp_path, way, numbers, after):
    for number, shore, modes in shores(tmp_path, way, numbers):
        change = shore.change(files(HELLO, modes), modes)
        if not shore.killed_at(number, change, after=after):
            break
        again = shore.deliver(change)
        assert again.state is not DeliveryState.HELD, (number, again.reason)
        shore.check_one()
        assert shore.shown("hello.txt") == "hello"
        assert shore.deliver(change).state is DeliveryState.UNCHANGED
        assert shore.forge.project.pull(1).labels == ["documentation"], number


@cases
def test_a_second_night_that_is_killed_anywhere(tmp_path, way, numbers, after):
    for number, shore, modes in shores(tmp_path, way, numbers):
        shore.deliver(shore.change(files(HELLO, modes), modes))
        change = shore.change(files(LATER, modes), modes)
        if not shore.killed_at(number, change, run="run-2", after=after):
            break
        third = shore.deliver(change, "run-3")
        assert third.state in {DeliveryState.UPDATED, DeliveryState.UNCHANGED}, (number, third.reason)
        shore.check_one()
        assert shore.shown("hello.txt") == "hello again"
