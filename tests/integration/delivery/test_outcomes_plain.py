"""Outcomes at a plain git remote: what the base's history proves, and nothing else."""

import pytest
from support.delivery import Forge
from support.past_runs import PastRuns
from support.tree import Workspace

BRANCH = "codex/docs"


class Plain:
    """A bare repository, a clone in which people work, and the runs of a job that delivers there."""

    def __init__(self, folder):
        self.forge = Forge(folder / "app.git")
        self.work = Workspace(folder)
        self.work.git("push", "-q", str(self.forge.path), "HEAD:refs/heads/main")
        self.past = PastRuns(folder / "past")
        self.past.delivery = {"target": "git", "repository": str(self.forge.path)}
        self.past.configure()
        self.made = 0

    def night(self, state, commit="", **more):
        self.past.add(state, target="git", repository=str(self.forge.path), commit=commit, link="", **more)

    def push(self, base="main"):
        """Push a commit of its own on the base to the branch, as a delivery does."""
        self.made += 1
        tree = self.forge.git("mktree", input=b"")
        who = ("-c", "user.name=x", "-c", "user.email=x@example.com")
        commit = self.forge.git(*who, "commit-tree", tree, "-p", base, "-m", f"Draft {self.made}")
        self.forge.git("update-ref", f"refs/heads/{BRANCH}", commit)
        return commit

    def merge(self):
        self.forge.git("update-ref", "refs/heads/main", BRANCH)

    def outcomes(self, **more):
        job = self.past.job(**more)
        return [(change["outcome"], change["commit"], change["spent"]["runs"]) for change in job["changes"]]


@pytest.fixture
def plain(tmp_path):
    return Plain(tmp_path)


def test_nights_are_one_change_until_the_base_has_it(plain):
    first = plain.push()
    plain.night("delivered", first, age=90)
    second = plain.push()
    plain.night("updated", second, age=80)
    plain.night("unchanged", age=70)
    assert plain.outcomes() == [("open", second, 3)]
    plain.merge()
    assert plain.outcomes() == [("merged", second, 3)]
    third = plain.push()
    plain.night("updated", third, age=60)
    plain.night("held", age=50)
    assert plain.outcomes() == [("open", third, 2), ("merged", second, 3)]
    job = plain.past.job()
    assert (job["accepted_cost"]["tokens"], job["changes"][0]["held"]) == (5_500, True)
    assert f"{BRANCH} {third[:12]}" in plain.past.ask().stdout


def test_what_git_does_not_tell_is_gone_and_not_open(plain):
    plain.night("delivered", plain.push(), age=90)
    plain.forge.git("update-ref", "-d", f"refs/heads/{BRANCH}")
    ((outcome, _, _),) = plain.outcomes()
    assert outcome == "gone"
    assert "squashed or removed" in plain.past.job()["changes"][0]["reason"]
    plain.push()  # a branch of the name, and not ours
    assert plain.outcomes()[0][0] == "gone"


def test_a_persons_commit_on_top_leaves_it_open(plain):
    commit = plain.push()
    plain.night("delivered", commit, age=90)
    plain.push(base=BRANCH)
    assert plain.outcomes() == [("open", commit, 1)]


def test_a_remote_that_is_gone_or_another_is_unknown(plain):
    plain.night("delivered", plain.push(), age=90)
    plain.past.delivery["repository"] = "/srv/git/other.git"
    plain.past.configure()
    ((outcome, _, _),) = plain.outcomes(code=3)
    assert outcome == "unknown"
    plain.past.delivery["repository"] = str(plain.forge.path)
    plain.past.configure()
    plain.forge.path.rename(plain.forge.path.with_name("moved.git"))
    assert plain.outcomes(code=13)[0][0] == "unknown"


@pytest.mark.parametrize("commit", ["--upload-pack=touch x", "HEAD", "a" * 39, "a" * 40])
def test_a_commit_of_a_record_is_a_commit_or_nothing(plain, commit):
    plain.night("delivered", commit)
    assert plain.outcomes() == ([("gone", commit, 1)] if commit == "a" * 40 else [])
