"""The table of codex's versions: what it says of each, and who holds to it."""

import json
import os
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from codex_runner.codex.versions import VERSIONS, Bad, Release, Standing, Versions

TOP = Path(__file__).parents[2]

TABLE = Versions(
    tested=(Release("0.163.0", "it", "here"), Release("0.171.0", "it", "here")),
    bad=(
        Bad("0.165.0", "0.165.2", "it loses events", "Install 0.166.0."),
        Bad("0.180.1", "0.180.1", "it hangs", "Install 0.171.0."),
    ),
)

SAID = {
    "0.98.1": Standing.TOO_OLD,
    "0.162.999": Standing.TOO_OLD,
    "0.163.0": Standing.SUPPORTED,
    "0.163.0-alpha.1": Standing.SUPPORTED,
    "0.164.9": Standing.SUPPORTED,
    "0.165.0": Standing.BAD,
    "0.165.1-alpha.3": Standing.BAD,
    "0.165.2": Standing.BAD,
    "0.165.3": Standing.SUPPORTED,
    "0.165.10": Standing.SUPPORTED,
    "0.171.0": Standing.SUPPORTED,
    "0.171.1": Standing.UNTESTED,
    "0.180.0": Standing.UNTESTED,
    "0.180.1": Standing.BAD,
    "0.180.2": Standing.UNTESTED,
    "1.0.0": Standing.UNTESTED,
    "": Standing.UNKNOWN,
    "x": Standing.UNKNOWN,
    "1": Standing.UNKNOWN,
    "0.163": Standing.UNKNOWN,
    "0.163.": Standing.UNKNOWN,
    ".163.0": Standing.UNKNOWN,
    "0.x.0": Standing.UNKNOWN,
    "v0.163.0": Standing.UNKNOWN,
    "broken 0.163.0": Standing.UNKNOWN,
}


@pytest.mark.parametrize(("version", "standing"), SAID.items())
def test_what_the_table_says(version, standing):
    verdict = TABLE.judge(version)
    assert verdict.standing is standing
    assert bool(verdict.remedy) == (standing is not Standing.SUPPORTED)


def test_the_words_name_the_reason_and_what_to_do():
    bad = TABLE.judge("0.165.1")
    assert (bad.why, bad.remedy) == ("known to be bad: it loses events", "Install 0.166.0.")
    assert "0.163.0" in TABLE.judge("0.1.0").why
    assert "0.171.0" in TABLE.judge("0.172.0").why


def test_the_table_is_in_order():
    for versions in (VERSIONS, TABLE):
        tested = [versions.judge(each.version).standing for each in versions.tested]
        assert set(tested) == {Standing.SUPPORTED}, "a tested version is no bad one"
        assert versions.oldest.version <= versions.newest.version
    for bad in VERSIONS.bad:
        assert VERSIONS.judge(bad.first).standing is VERSIONS.judge(bad.last).standing is Standing.BAD
        assert bad.remedy.endswith(".")


def test_what_pip_installs_is_in_the_table():
    """The demo, pipelines and the tests have the oldest version, by three pins."""
    oldest = VERSIONS.oldest
    assert oldest.index == "PyPI"
    pinned = f"{oldest.package}=={oldest.version}"
    assert pinned in tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["optional-dependencies"]["demo"]
    for name in ("ci/constraints.txt", "codex_runner/cli/starters/codex.txt"):
        lines = (TOP / name).read_text(encoding="utf-8").splitlines()
        assert [line.split(" \\")[0] for line in lines if line.startswith(f"{oldest.package}==")] == [pinned], name


def test_the_readme_names_the_versions_that_the_tests_run():
    readme = " ".join((TOP / "README.md").read_text(encoding="utf-8").split())
    short = [each.version.removesuffix(".0") for each in VERSIONS.tested]
    assert f"with the real codex {' and '.join(short)}, on Linux" in readme
    assert f"codex itself, {short[0]} or later" in readme


@pytest.fixture
def registry():
    """Answer as npm's registry does; return its address, and what it says of codex."""
    said = {}

    class Registry(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/@openai/codex/latest" and said else 404)
            self.end_headers()
            self.wfile.write(json.dumps(said).encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", said
        server.shutdown()
        thread.join()


def ask(*arguments, registry="http://127.0.0.1:1"):
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(TOP), "NPM_CONFIG_REGISTRY": registry}
    done = subprocess.run(
        [sys.executable, TOP / "ci/codex_versions.py", *arguments],
        env=environ, check=False, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_each_night_has_the_pinned_codex_and_the_newest_of_npm(registry):
    address, said = registry
    said["version"] = "0.999.0"
    code, told, _ = ask("matrix", registry=address)
    assert code == 0
    assert told.startswith("matrix=")
    entries = json.loads(told.removeprefix("matrix="))
    assert [entry["codex"] for entry in entries] == [VERSIONS.oldest.version, "0.999.0"]


@pytest.mark.parametrize("answer", [None, {}, {"version": "latest"}])
def test_a_registry_that_does_not_say_it_is_no_green_night(registry, answer):
    address, said = registry
    said |= answer or {}
    code, told, words = ask("matrix", registry=address if answer is not None else "http://127.0.0.1:1")
    assert (code, told) == (1, "")
    assert "Look " in words
    assert "Traceback" not in words


@pytest.mark.parametrize(
    ("version", "code", "words"),
    [
        *((each.version, 0, "supported") for each in VERSIONS.tested),
        ("999.0.0", 1, "raise the newest version in codex_runner/codex/versions.py"),
        ("0.1.0", 1, "Runs refuse this version"),
    ],
)
def test_a_night_with_a_version_that_nobody_looked_at_is_red(version, code, words):
    done = ask("judge", version)
    assert (done[0], done[1]) == (code, "")
    assert words in done[2]
