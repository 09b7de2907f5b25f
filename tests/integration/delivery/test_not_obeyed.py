"""Nothing that the agent wrote is executed or obeyed by git on the way to the forge."""

from support.delivery import BRANCH, docs, over_http


def traps(own, marker):
    """Everything by which a repository makes git run a program. Each writes its name into a file."""
    top = own.work.top
    script = top / "trap.sh"
    script.write_text(f'#!/bin/sh\necho "$0 $*" >>{marker}\ncat\n')
    script.chmod(0o755)
    for hook in (
        "pre-push",
        "pre-commit",
        "post-index-change",
        "reference-transaction",
        "post-checkout",
        "pre-auto-gc",
    ):
        path = top / ".git/hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\necho {hook} >>{marker}\n")
        path.chmod(0o755)
    settings = {
        "core.fsmonitor": str(script),
        "core.hooksPath": str(top / ".git/hooks"),
        "core.sshCommand": str(script),
        "core.gitProxy": str(script),
        "core.attributesFile": str(top / ".gitattributes"),
        "filter.trap.clean": str(script),
        "filter.trap.smudge": str(script),
        "filter.trap.process": str(script),
        "diff.external": str(script),
        "diff.trap.textconv": str(script),
        "diff.trap.command": str(script),
        "merge.trap.driver": f"{script} %A",
        "credential.helper": f"!{script}",
        "gpg.program": str(script),
        "commit.gpgSign": "true",
        "push.gpgSign": "if-asked",
        "uploadpack.packObjectsHook": str(script),
        "remote.origin.url": f"ext::{script}",
        "remote.origin.uploadpack": str(script),
        "remote.origin.receivepack": str(script),
        f"url.ext::{script}.insteadOf": str(own.forge.path),
        "core.alternateRefsCommand": str(script),
        "http.proxy": "http://127.0.0.1:9",
    }
    with (top / ".git/config").open("a") as file:
        for key, value in settings.items():
            section, _, name = key.rpartition(".")
            kind, _, sub = section.partition(".")
            file.write(f'[{kind} "{sub}"]\n' if sub else f"[{kind}]\n")
            file.write(f'\t{name} = "{value}"\n')
    own.work.write(".gitattributes", "* filter=trap diff=trap merge=trap text eol=crlf ident\n")
    (top / ".git/info").mkdir(exist_ok=True)
    own.work.write(".git/info/attributes", "* filter=trap diff=trap merge=trap\n")
    return settings


def test_nothing_that_the_agent_wrote_is_executed_or_obeyed(own, served):
    text = "".join(f"line {n}\n" for n in range(30))
    own.later(("long.txt", text))
    own.work.git("pull", "-q", str(own.forge.path), "main")
    marker = own.root / "executed"
    own.agent(("long.txt", text.replace("line 3\n", "line 3 $Id$\n")))
    traps(own, marker)
    (own.work.home / ".gitconfig").write_text(f"[core]\n\thooksPath = {own.work.top}/.git/hooks\n")
    change = own.change()
    own.later(("long.txt", text.replace("line 25\n", "line 25 of another\n")))
    for way in (own.remote(), over_http(served, own)):
        commit, _ = own.delivered(change, way)
    assert not marker.exists(), marker.read_text()
    assert "line 3 $Id$\n" in own.forge.git("show", f"{commit}:long.txt")
    assert "\r" not in own.forge.git("show", f"{commit}:long.txt")


def test_the_environment_of_git_is_the_runners_own(own, tmp_path):
    """Variables that a user or a hook has set for git count for nothing."""
    marker = tmp_path / "executed"
    script = tmp_path / "trap.sh"
    script.write_text(f"#!/bin/sh\necho $0 >>{marker}\nexit 1\n")
    script.chmod(0o755)
    change = docs(own)
    own.work.environ |= {
        "GIT_DIR": str(own.work.top / ".git"),
        "GIT_INDEX_FILE": "/dev/null",
        "GIT_SSH_COMMAND": str(script),
        "GIT_EXTERNAL_DIFF": str(script),
        "GIT_ASKPASS": str(script),
        "SSH_ASKPASS": str(script),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.hooksPath",
        "GIT_CONFIG_VALUE_0": str(tmp_path),
        "GIT_CONFIG_PARAMETERS": "'core.fsmonitor=/bin/false'",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": "/nowhere",
        "GIT_OBJECT_DIRECTORY": "/nowhere",
        "GIT_NAMESPACE": "elsewhere",
    }
    commit, _ = own.delivered(change)
    assert own.forge.refs()[BRANCH] == commit
    assert not marker.exists()
