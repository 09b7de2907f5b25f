"""A host in memory whose job has a gate: what its command says, and the files of its commit."""

from codex_runner.domain.cksum import cksum
from codex_runner.domain.host import Completed
from support.fake_host import FakeHost, prints
from support.trial import REPLY

COMMAND = "is there anything"
COMMIT = "a" * 40
FILES = {"src/a.py": "100644 blob " + "1" * 40, "docs/a.md": "100644 blob " + "2" * 40}


class Host(FakeHost):
    """A host whose job's folder is in a repository, if it has a commit."""

    def __init__(self, command=(0, b""), *, commit=COMMIT, files=FILES, cut=0, alive=True, dirty=False):
        code, output = command
        super().__init__(prints(REPLY), answers={COMMAND: Completed(code, output, 0.5)})
        self.commit, self.files, self.cut, self.alive = commit, dict(files), cut, alive
        self.patience, self.dirty = None, dirty

    async def execute(self, script, *, cwd=None, timeout=60.0, arguments=()):
        if arguments == (COMMAND,):
            self.patience = timeout
        return await super().execute(script, cwd=cwd, timeout=timeout, arguments=arguments)

    async def ask(self, script, *, arguments=(), **options):
        if arguments[:1] == ("commit",):
            self._ask("commit")
            said = f"commit\0{self.commit}\0prefix\0sub/\0top\0/x\0origin\0https://me:pass-w0rd@example.com/a/b\0"
            return Completed(0, said.encode(), 0.0, b"")
        if arguments[:1] == ("files",):
            self._ask("files", *arguments[4:])
            offset, size = int(arguments[2]), int(arguments[3])
            listed = "".join(f"{entry}\t{path}\0" for path, entry in self.files.items()).encode() + b"end\0"
            listed = listed[: len(listed) - self.cut]
            return Completed(0, listed[offset : offset + size], 0.0, b"fatal: bad tree" if self.cut else b"")
        if arguments[:1] == ("snapshot",):
            self._ask("snapshot")
            facts = {"seal": "s", "top": "/x", "head": self.commit, "tree": "t", "committed": "t", "unwatched": ""}
            facts["committed"] += "2" * self.dirty
            said = "".join(f"{key}\0{value}\0" for key, value in facts.items()).encode()
            return Completed(0, b"ok %d %d\n" % (len(said), cksum(said)) + said, 0.0, b"")
        return await super().ask(script, arguments=arguments, **options)

    @property
    def started(self):
        return "start" in [what for what, *_ in self.asked]
