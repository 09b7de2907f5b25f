"""What is delivered, over each transport and in each shell of a host: the same tree, by id, and its pack."""

import subprocess

from support.tree import RUN, Workspace

from codex_runner.git import changes as git_changes
from codex_runner.git import delivered


def test_the_changes_are_packed_on_the_host_and_fetched(run, host, tmp_path):
    work = Workspace(tmp_path)
    work.write("café.txt", "uncommitted\n")
    (work.top / ".gitattributes").write_text("*.key filter=crypt\n")
    work.git("add", ".gitattributes")
    work.git("commit", "-q", "-m", "attributes")
    run_id = f"{RUN[:-8]}d4af7000"
    into = tmp_path / "into"
    into.mkdir(mode=0o700)

    async def all_of_it():
        before = await git_changes.snapshot(host, str(work.top), run_id)
        work.write('new/"ä" file.txt', "new\n")
        (work.top / "docs/a.md").unlink()
        (work.top / "README.md").chmod(0o755)
        await git_changes.changes(host, before)
        first = await delivered.pack(host, before)
        change = await delivered.fetch(host, first, into)
        work.write("a.key", "cleartext\n")
        work.write("café.txt", "the agent's\n")
        await git_changes.changes(host, before)
        second = await delivered.pack(host, before)
        await host.discard(run_id)
        return first, change, second

    first, change, second = run(all_of_it())
    assert first.left_out == ("café.txt",)
    assert first.refused == ()
    assert change.paths == ("README.md", "docs/a.md", 'new/"ä" file.txt')
    assert change.modes == {"README.md": "100755", 'new/"ä" file.txt': "100644"}
    with change.pack.open("rb") as pack:
        subprocess.run(["git", "index-pack", "--strict", "--stdin"], cwd=work.top, stdin=pack, check=True)
    listed = work.git("ls-tree", "-r", "-z", change.tree).split(b"\0")[:-1]
    assert {line.split(b"\t")[1].decode() for line in listed} == {
        ".gitattributes",
        ".gitignore",
        "README.md",
        'new/"ä" file.txt',
        "src/app.py",
    }
    assert [said.partition(" ")[0] for said in second.refused] == ["a.key", "café.txt"]
