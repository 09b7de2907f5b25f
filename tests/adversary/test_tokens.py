"""No token in any output: ways to have a secret stand somewhere in a form in which a reader can take it."""

import base64
import html
import http.server
import io
import json
import os
import secrets
import shlex
import shutil
import signal
import sys
import tarfile
import tempfile
import threading
import zipfile
from pathlib import Path

import pytest
import tomli_w
from integration.vault.conftest import Place, mount_kv
from support.places import build_folder
from support.runs import JOB, Project, tree
from support.ways import ways
from support.webhook import Receiver

from codex_runner.demo.model_wire import message, shell
from codex_runner.demo.scenarios import script
from codex_runner.demo.vault import VaultServer
from codex_runner.domain.secret import Secret
from codex_runner.redaction.redactor import Redactor
from codex_runner.text.clean import clean_line
from codex_runner.text.excerpts import one_line as report_line

pytestmark = pytest.mark.needs_codex

# A password as generators make them, a token of 200 characters, and a cloud's key: what has no shape that is known.
PASSWORD = "p4&ss<w>'o\"r+d/\\=%42$x"
LONG = "".join(f"{number:04x}" for number in range(1, 9000, 180))
CLOUD = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY=="


def masked(text, secret):
    """What is left of a text where this secret is known."""
    return Redactor([Secret("IT", secret)]).text(text)


# --- what a reader drops, the redactor looks past --------------------------------------------------------------------


def joins(show, between):
    """Whether a reader makes one word of two halves."""
    return "0123456789abcdef" in show(f"01234567{between}89abcdef")


@pytest.mark.thorough
@pytest.mark.parametrize("show", [clean_line, report_line], ids=["log", "report"])
@pytest.mark.parametrize("escaped", ["raw", "json", "json-in-json"])
def test_each_character_that_a_reader_drops(show, escaped):
    """Every code point within a secret: dropped where it is shown, and so not allowed to hide the secret."""
    write = {
        "raw": lambda text: text,
        "json": json.dumps,
        "json-in-json": lambda text: json.dumps(json.dumps(text)),
    }[escaped]
    redactor = Redactor([Secret("IT", "0123456789abcdef")])
    leaks = []
    for point in range(sys.maxunicode + 1):
        character = chr(point)
        if 0xD800 <= point < 0xE000 or character.isalnum() or not joins(show, character):
            continue
        said = redactor.text(write(f"01234567{character}89abcdef"))
        if "IT" not in said:
            leaks.append(f"U+{point:04X}")
    assert leaks == []


SEQUENCES = {
    "a title in a title": "\x1b]0;\x1b]0;x\x07\x07",
    "a colour by colons": "\x1b[38:2:1:2:3m",
    "a charset": "\x1b(B",
    "a soft hyphen and a colour": "\u00ad\x1b[1m\u00ad",
    "two hundred joiners": "\u2060" * 200,
    "a title of 4,000 characters": "\x1b]0;" + "x" * 4000 + "\x07",
    "backspaces over nothing": "\b\b",
    "a bell": "\a",
    "a tag of a language": "\U000e0001\U000e0065\U000e006e",
}


def hides_nothing(between, escaped):
    """Whether what a reader sees of a secret with this within it, once redacted, is not the secret."""
    text = f"01234567{between}89abcdef"
    said = masked(json.dumps({"text": text}) if escaped == "json" else text, "0123456789abcdef")
    shown = json.loads(said)["text"] if escaped == "json" else said
    return all("0123456789abcdef" not in show(shown) for show in (clean_line, report_line))


@pytest.mark.parametrize("way", SEQUENCES)
@pytest.mark.parametrize("escaped", ["raw", "json"])
def test_a_sequence_that_a_reader_drops(way, escaped):
    """A terminal's sequence within a secret: where the log or a report drops it, the redactor has seen the secret."""
    assert hides_nothing(SEQUENCES[way], escaped)


# --- forms in which programs print a secret --------------------------------------------------------------------------


FORMS = {
    "Basic authentication": lambda raw: base64.b64encode(f"ada:{raw}".encode()).decode(),
    "another case of hexadecimal": lambda raw: "".join(
        c.upper() if at % 2 else c for at, c in enumerate(raw.encode().hex())
    ),
}


def is_masked(form, secret):
    """In a line of text and in an event."""
    texts = (form, json.dumps({"type": "item.completed", "item": {"aggregated_output": form}}))
    return all("***" in masked(text, secret) for text in texts)


@pytest.mark.parametrize("secret", [PASSWORD, LONG, CLOUD], ids=["password", "long", "cloud"])
@pytest.mark.parametrize("way", FORMS)
def test_a_form_in_which_programs_print_it(way, secret):
    """What is left gives back neither the secret nor its form."""
    assert is_masked(FORMS[way](secret), secret)


# --- what a run leaves -----------------------------------------------------------------------------------------------


def _tar(secret):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        entry = tarfile.TarInfo("x")
        entry.size = len(secret)
        archive.addfile(entry, io.BytesIO(secret))
    return data.getvalue()


def _zip(secret):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("x", secret)
    return data.getvalue()


ARTIFACTS = {
    "an archive that is not compressed": _tar,
    "a zip that is not compressed": _zip,
    "UTF-16 with its mark": lambda raw: raw.decode().encode("utf-16"),
    "UTF-16 behind 9 KiB of ASCII": lambda raw: b"x" * 9000 + raw.decode().encode("utf-16-le"),
    "UTF-32": lambda raw: raw.decode().encode("utf-32-be"),
    "Latin-1 text": lambda raw: "gr\u00fc\u00dfe ".encode("latin-1") + raw,
    "a picture's comment": lambda raw: b"\x89PNG\r\n\x1a\n\0\0\0\x20tEXtComment\0" + raw,
    "the last bytes of 3 MiB": lambda raw: b"\0" * (3 << 20) + raw,
    "a byte at the cut of a MiB": lambda raw: b"\0" * ((1 << 20) - 5) + raw,
    "base64 that is wrapped": lambda raw: base64.encodebytes(raw * 4),
    "a core dump": lambda raw: b"\x7fELF" + b"\0" * 500 + b"CODEX_API_KEY=" + raw + b"\0" * 500,
}


@pytest.mark.needs_sshd
@pytest.mark.parametrize("way", ways(ARTIFACTS))
def test_an_artifact_with_a_secret_in(there, way):
    """The agent's file has the secret in an odd place: what is kept of it has not."""
    (there.cwd / "out.bin").write_bytes(ARTIFACTS[way](there.key.encode()))
    there.configure(artifacts=["*.bin"])
    done = there.run()
    (there.cwd / "out.bin").unlink()
    there.check_no_secret()
    for path, data in tree(done.run.path).items():
        plain = data.replace(b"\0", b"").replace(b"\n", b"")
        assert there.key.encode() not in plain, path
        assert base64.b64encode(there.key.encode() * 4) not in plain, path


@pytest.mark.thorough
@pytest.mark.needs_sshd
@pytest.mark.parametrize("as_name", [lambda key: key, lambda key: base64.b64encode(key.encode()).decode()])
@pytest.mark.parametrize("where", ["file", "folder", "fifo", "link"])
def test_a_name_that_is_the_secret(there, as_name, where):
    """A file, a folder, a FIFO or a link of the workspace is called by the secret: its name is not told."""
    name = as_name(there.key).replace("/", "_")
    there.configure(artifacts=["**"])
    path = there.cwd / name
    if where == "folder":
        path.mkdir()
        (path / "x").write_text("x")
    elif where == "fifo":
        os.mkfifo(path)
    elif where == "link":
        path.symlink_to("/etc/passwd")
    else:
        path.write_text("x")
    done = there.run()
    said = there.said + b"".join(tree(done.run.path).values())
    said += "".join(str(each) for each in done.run.path.rglob("*")).encode()
    assert name.encode() not in said
    assert done.code in {0, 12}


SAID = {
    "a glob of artifacts": {"artifacts": ["{key}/*"]},
    "a rule for paths": {"forbidden_paths": ["{key}/**"]},
    "the prompt": {"prompt": "SCN:hi {key}"},
}


def says_nothing_of(project, job):
    """A text of the job holds the value of a secret: it is masked in all that the run writes and says."""

    def filled(value):
        if isinstance(value, str):
            return value.replace("{key}", project.key)
        if isinstance(value, list):
            return [filled(each) for each in value]
        return {name: filled(each) for name, each in value.items()}

    project.configure(**filled(job))
    project.git_init()
    done = project.run()
    configuration = project.cwd / "codex-runner.toml"
    configuration.unlink()
    for path, data in tree(project.out).items():
        assert project.key.encode() not in data, path
    assert project.key.encode() not in project.said
    assert done.code in {0, 1, 3, 12}


@pytest.mark.thorough
@pytest.mark.parametrize("way", SAID)
def test_a_job_that_names_a_secret(project, way):
    """In its prompt, its globs, its rules."""
    says_nothing_of(project, SAID[way])


WRONG = {
    "a number": "codex.env.IT = 918273645546372819\n",
    "a list": 'codex.env.IT = ["SECRET"]\n',
    "a table": 'codex.env.IT = { value = "SECRET" }\n',
    "a date": "codex.env.IT = 1979-05-27T07:32:00Z\n",
    "no end of a string": 'codex.env.IT = "SECRET\n',
    "a key twice": 'codex.env.IT = "SECRET"\ncodex.env.IT = "SECRET"\n',
    "a name that none is": 'codex.env."A B" = "SECRET"\n',
    "a table in the wrong place": 'credential.token = "SECRET"\n',
    "an unknown key at the top": 'token = "SECRET"\n',
    "a misspelt table": 'codexx.env.IT = "SECRET"\n',
    "in a job": '[jobs.docs]\ncodex.env.IT = ["SECRET"]\n',
    "in a job's misspelt key": '[jobs.docs]\nprompt = "x"\nenv.IT = "SECRET"\n',
    "in [vault]": 'vault.token = "SECRET"\n',
    "in vault.auth": 'vault.auth = { method = "token", token = "SECRET" }\n',
    "in notify": '[[notify]]\nname = "x"\nurl = "https://hooks.example.com/SECRET"\n',
    "a BOM and a wrong byte": '\ufeffcodex.env.IT = "SECRET" \x00\n',
}


@pytest.mark.thorough
@pytest.mark.parametrize("way", WRONG)
@pytest.mark.parametrize("command", [("run", "docs"), ("config", "check"), ("config", "show")], ids=" ".join)
def test_a_mistake_beside_a_secret(project, way, command):
    """The configuration is wrong where a secret stands: what is said of the mistake does not quote it."""
    secret = f"s3cret{secrets.token_hex(10)}"
    text = WRONG[way].replace("SECRET", secret)
    (project.cwd / "codex-runner.toml").write_text("version = 1\n" + text)
    done = project.command(*command)
    assert secret not in done.stdout + done.stderr
    assert "918273645546372819" not in done.stdout + done.stderr
    assert done.code in {2, 3} or command[0] == "config", done.stderr


TELLING = {
    "an address that is none": {"T_URL": "hxxp:/SECRET"},
    "an address with a password": {"T_URL": "http://ada:SECRET@127.0.0.1:9/hook"},
    "an address whose port is none": {"T_URL": "http://127.0.0.1:SECRET/"},
    "a token with a line break": {"T_URL": "http://127.0.0.1:9/", "T_TOKEN": "SECRET\nSECRET"},
    "a token that is no ASCII": {"T_URL": "http://127.0.0.1:9/", "T_TOKEN": "SECRET\u20ac"},
}


@pytest.mark.thorough
@pytest.mark.parametrize("way", TELLING)
def test_a_notification_that_cannot_be_sent(project, way):
    """Whom to tell is wrong in a way that a library would quote."""
    secret = f"s3cret{secrets.token_hex(10)}"
    project.environ |= {name: value.replace("SECRET", secret) for name, value in TELLING[way].items()}
    project.configure()
    configuration = project.cwd / "codex-runner.toml"
    target = {"name": "it", "url_variable": "T_URL", "on": ["succeeded", "failed"], "deadline": "2s"}
    if "T_TOKEN" in TELLING[way]:
        target["token_variable"] = "T_TOKEN"
    configuration.write_text(configuration.read_text() + tomli_w.dumps({"notify": [target]}))
    done = project.run()
    assert "it" in done.stderr
    assert secret not in done.stdout + done.stderr, done.stderr[-1500:]
    assert [path for path, data in tree(project.out).items() if secret.encode() in data] == []


@pytest.mark.thorough
@pytest.mark.parametrize(
    "headers", ["authorization=Bearer SECRET\n", "x-api-key=SECRET\u20ac", "x=SECRET\x00y".replace("\x00", "\x01")]
)
def test_spans_whose_header_is_none(project, headers):
    """OTEL_EXPORTER_OTLP_HEADERS holds a secret that no header can hold: the failure does not quote it."""
    secret = f"s3cret{secrets.token_hex(10)}"
    project.environ |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_HEADERS": headers.replace("SECRET", secret),
    }
    done = project.run()
    assert secret not in done.stdout + done.stderr, done.stderr[-1500:]
    assert [path for path, data in tree(project.out).items() if secret.encode() in data] == []


@pytest.mark.thorough
@pytest.mark.needs_sshd
def test_a_repository_whose_address_holds_a_password(there):
    """`workspace.repo` is a URL with a password, as CI systems write them: it stands nowhere, also where git fails."""
    secret = f"pw{secrets.token_hex(10)}"
    there.configure(workspace={"repo": f"http://ada:{secret}@127.0.0.1:9/x.git", "ref": "main"})
    done = there.run()
    assert done.code != 0
    (there.cwd / "codex-runner.toml").unlink()
    assert secret not in done.stdout + done.stderr, done.stderr[-1500:]
    assert [str(path) for path, data in tree(there.out).items() if secret.encode() in data] == []


# --- ways that break it -----------------------------------------------------------------------------------------------

QUOTING = {
    "a title with a quote in it": '\x1b]0;a"b\x07',
    "a title with a backslash in it": "\x1b]0;a\\b\x07",
    "a link with a quote in its address": '\x1b]8;;http://x/"\x1b\\',
    "a title that a C1 begins, with a quote": '\x9d0;a"b\x9c',
    "a device string with a quote": '\x1bPq"1;1\x1b\\',
}


@pytest.mark.parametrize("way", QUOTING)
@pytest.mark.parametrize("escaped", ["raw", "json"])
def test_a_title_with_a_quote_that_a_reader_drops(way, escaped):
    """A terminal's title or link holds a quote or a backslash, within a secret."""
    assert hides_nothing(QUOTING[way], escaped)


def test_a_webhook_hears_no_secret(project, service):
    """The agent's last words hold the key, split by what a reader drops: who is told hears none of it."""
    key = project.key
    service.scenario("says", script(message(f'it is {key[:9]}\x1b]0;a"b\x07{key[9:]}')))
    with Receiver() as receiver:
        project.environ["T_URL"] = receiver.url
        project.configure(prompt="SCN:says")
        configuration = project.cwd / "codex-runner.toml"
        target = {"name": "it", "url_variable": "T_URL", "on": ["succeeded", "failed"]}
        configuration.write_text(configuration.read_text() + tomli_w.dumps({"notify": [target]}))
        done = project.run()
        bodies = b"".join(post.body for post in receiver.posts)
    assert key not in done.stdout + done.stderr
    assert key.encode() not in bodies
    project.check_no_secret()


SETTINGS = {
    "a variable of an MCP server": {"mcp_servers": {"it": {"command": "true", "env": {"API_TOKEN": "SECRET"}}}},
    "a header of a provider": {
        "model_providers": {"scripted": {"http_headers": {"Authorization": "Bearer SECRET"}}},
    },
    "a provider's bearer token": {"model_providers": {"other": {"name": "o", "experimental_bearer_token": "SECRET"}}},
    "a variable of the commands": {"shell_environment_policy": {"set": {"NPM_TOKEN": "SECRET"}}},
    "a header of telemetry": {
        "otel": {
            "exporter": {
                "otlp-http": {
                    "endpoint": "http://127.0.0.1:9/x",
                    "protocol": "json",
                    "headers": {"x-api-key": "SECRET"},
                }
            }
        }
    },
}


@pytest.mark.parametrize("way", ways(SETTINGS, {"a variable of an MCP server"}))
def test_a_setting_of_codex_that_is_a_secret(project, way):
    """`codex.config` has places that codex itself takes for secrets: what stands there stands in no record."""
    secret = f"s3cret-{secrets.token_hex(10)}"
    given = json.loads(json.dumps(SETTINGS[way]).replace("SECRET", secret))
    config = project.codex["config"]
    for name, table in given.items():
        if name == "model_providers" and "scripted" in table:
            config[name]["scripted"] |= table["scripted"]
        else:
            config[name] = {**config.get(name, {}), **table}
    project.configure()
    done = project.run()
    (project.cwd / "codex-runner.toml").unlink()
    found = [str(path) for path, data in tree(project.out).items() if secret.encode() in data]
    assert found == [], f"exit {done.code}"
    assert secret.encode() not in project.said


@pytest.fixture
def other(codex, service, tmp_path_factory):
    """Another project of the same user's, whose agent has a sandbox."""
    home = Path(tempfile.mkdtemp(prefix="codex-home-", dir=build_folder()))
    made = Project(tmp_path_factory.mktemp("other"), home, codex, service)
    yield made
    made.close()
    shutil.rmtree(home)


def beside(other, service, command):
    """Start a run whose agent, in its sandbox, does this for twelve seconds; return once it does."""
    loop = f"end=$(($(date +%s) + 12)); while [ $(date +%s) -lt $end ]; do {command}; done"
    service.scenario("waits", script(shell(f"{{ {loop}; }} 2>/dev/null", wait=20), message("done")))
    other.configure(prompt="SCN:waits", sandbox="workspace-write")
    waiting = other.start("run", JOB)
    waiting.until(other.host_run)
    waiting.until(lambda: any(each.scenario == "waits" for each in service.responses))
    return waiting


@pytest.mark.thorough
@pytest.mark.needs_sshd
def test_another_run_that_looks_at_its_codex(there, service, other):
    """One run's agent, in its sandbox, waits in /tmp for the folder in which another run asks codex about its token. It
    leaves an .env there, which codex reads: its proxy would get the token.
    """
    heard = []

    class Thief(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            heard.append(self.headers.get("authorization"))
            self.send_response(200)
            self.end_headers()

        do_POST = do_CONNECT = do_GET  # noqa: N815 - the names that http.server calls

        def log_message(self, *_):
            pass

    token = f"at-{secrets.token_hex(16)}"
    service.accept({there.key, token, other.key})
    setup = service.with_access_token(token)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Thief) as thief:
        threading.Thread(target=thief.serve_forever, args=(0.02,), daemon=True).start()
        proxy = f"HTTP_PROXY=http://127.0.0.1:{thief.server_port}"
        plant = f"for f in /tmp/tmp.*/login; do [ -d $f ] && echo {proxy} >$f/.env; done"
        waiting = beside(other, service, f"for n in $(seq 300); do {plant}; done")
        there.environ["CODEX_ACCESS_TOKEN"] = token
        there.codex["config"] = setup.config
        there.codex["env"] = {"CODEX_AUTHAPI_BASE_URL": setup.environment["CODEX_AUTHAPI_BASE_URL"]}
        there.configure(credential={"source": "env", "allow_unexpiring": True})
        while waiting.process.poll() is None and not heard:
            there.run()
        waiting.wait()
        thief.shutdown()
    assert not any(token in (said or "") for said in heard), "another run's agent has had the token sent elsewhere"


# Opens each temporary file as soon as it is there, and copies what comes into it later.
WATCH = """
import ctypes, os, select, struct, sys, time
libc = ctypes.CDLL(None)
fd = libc.inotify_init()
libc.inotify_add_watch(fd, b"/tmp", 0x100)
files, end = [], time.monotonic() + 11
while time.monotonic() < end:
    if select.select([fd], [], [], 0.1)[0]:
        data = os.read(fd, 65536)
        while data:
            size = struct.unpack_from("iIII", data)[3]
            name, data = data[16:16 + size].rstrip(b"\\0"), data[16 + size:]
            try:
                if name.startswith(b"tmp."):
                    files.append(os.open(b"/tmp/" + name, os.O_RDONLY | os.O_NONBLOCK))
            except OSError:
                pass
    for each in files:
        try:
            sys.stdout.buffer.write(os.pread(each, 4096, 0))
        except OSError:
            pass
"""


@pytest.mark.thorough
@pytest.mark.needs_sshd
def test_another_run_that_looks_at_its_checks(there, service, other):
    """One run's agent, in its sandbox, opens each temporary file of /tmp as soon as it is there: what another run's
    check prints, which nobody has redacted yet, is not to be had.
    """
    service.accept({there.key, other.key})
    canary = f"canary-{secrets.token_hex(10)}"
    (other.cwd / "watch.py").write_text(WATCH)
    waiting = beside(other, service, "python3 watch.py | grep -ao 'canary-[0-9a-f]*' | sort -u >found; cat found")
    (there.scratch / "said").write_text(canary)
    there.configure(checks=[{"name": "it", "run": f"sleep 0.3; cat {there.scratch}/said; sleep 0.5"}])
    while waiting.process.poll() is None:
        assert there.run().code == 0
    waiting.wait(60)
    found = (other.cwd / "found").read_text() if (other.cwd / "found").exists() else ""
    assert canary not in found, "another run's agent reads what a check has printed"


@pytest.mark.thorough
@pytest.mark.needs_vault
def test_a_store_that_the_agent_names_to_whoever_attaches(project, service):
    """The agent, in its sandbox, writes another address of Vault into codex-runner.toml, and the runner is killed: who
    attaches does not log in there.
    """
    heard = []

    class Thief(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append(self.rfile.read(int(self.headers.get("content-length") or 0)))
            self.send_response(400)
            self.end_headers()

        do_GET = do_PUT = do_POST  # noqa: N815 - the names that http.server calls

        def log_message(self, *_):
            pass

    with VaultServer() as vault, http.server.ThreadingHTTPServer(("127.0.0.1", 0), Thief) as thief:
        threading.Thread(target=thief.serve_forever, args=(0.02,), daemon=True).start()
        mount_kv(vault)
        vault.request("POST", "sys/auth/userpass", {"type": "userpass"})
        place = Place(vault)
        place.put(token=project.key)
        vault.request("POST", f"auth/userpass/users/{place.name}", place.role_settings(password="the-password"))
        project.environ["VAULT_PASSWORD"] = "the-password"
        file = "codex-runner.toml"
        swap = f"sed 's,{vault.address},http://127.0.0.1:{thief.server_port},' {file} >new; mv new {file}"
        service.scenario("swap", script(shell(f"{swap}; echo swapped"), shell("sleep 4"), message("done")))
        credential = {"path": place.path, "workflow": place.path, "kind": "api_key"}
        project.configure(prompt="SCN:swap", sandbox="workspace-write", credential=credential)
        configuration = project.cwd / "codex-runner.toml"
        auth = f'{{ method = "userpass", username = "{place.name}" }}'
        settings = f'\n[vault]\naddress = "{vault.address}"\nauth = {auth}\nretry_deadline = "2s"\n'
        configuration.write_text(configuration.read_text() + settings)
        running = project.start("run", JOB)
        running.until(lambda: str(thief.server_port) in configuration.read_text())
        running.kill()
        project.command("attach", "last")
        thief.shutdown()
    assert not any(b"the-password" in body for body in heard), "the login's password went where the agent said"


@pytest.mark.thorough
@pytest.mark.needs_sshd
def test_no_core_of_codex_with_its_key(there):
    """codex crashes, and has the key in its environment and memory: no core of it lies in the workspace."""
    there.prefix = ["bash", "-c", 'ulimit -c unlimited; exec "$@"', "bash"]
    there.configure(prompt="SCN:slow:5")
    running = there.start("run", JOB)
    root = running.until(there.host_run)
    running.until(lambda: b"turn.started" in there.recorded)
    os.kill(int((root / "attempts" / "1" / "codex.pid").read_text().split()[0]), signal.SIGABRT)
    done = running.wait()
    assert done.code != 0
    there.check_no_secret()


def _wrapped(text, width):
    return "\n".join(text[at : at + width] for at in range(0, len(text), width))


FORMS_OF_PROGRAMS = {
    "base64, as coreutils wraps it at 76": lambda raw: _wrapped(base64.b64encode(raw.encode()).decode(), 76),
    "base64, as openssl wraps it at 64": lambda raw: _wrapped(base64.b64encode(raw.encode()).decode(), 64),
    "base64 with carriage returns, as mail has it": lambda raw: (
        base64.encodebytes(raw.encode()).decode().replace("\n", "\r\n")
    ),
    "hexadecimal, as xxd -p wraps it at 60": lambda raw: _wrapped(raw.encode().hex(), 60),
    "HTML": html.escape,
    "the shell's quotes": shlex.quote,
    "Python's repr": repr,
    "YAML's quotes": lambda raw: "'" + raw.replace("'", "''") + "'",
    "CSV": lambda raw: '"' + raw.replace('"', '""') + '"',
    "JSON of PHP, slashes escaped": lambda raw: json.dumps(raw).replace("/", "\\/"),
    "JSON of Go": lambda raw: json.dumps(raw).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"),
    "JSON of Gson": lambda raw: (
        json.dumps(raw).replace("=", "\\u003d").replace("&", "\\u0026").replace("'", "\\u0027").replace("<", "\\u003c")
    ),
    "JSON of .NET": lambda raw: (
        json.dumps(raw)
        .replace("+", "\\u002B")
        .replace("&", "\\u0026")
        .replace("'", "\\u0027")
        .replace('\\"', "\\u0022")
    ),
}


@pytest.mark.parametrize("secret", [PASSWORD, LONG, CLOUD], ids=["password", "long", "cloud"])
@pytest.mark.parametrize("way", FORMS_OF_PROGRAMS)
def test_another_form_in_which_programs_print_it(way, secret):
    """As coreutils, openssl, PHP, Go, Java, .NET and shells write it."""
    assert is_masked(FORMS_OF_PROGRAMS[way](secret), secret)


@pytest.mark.thorough
def test_all_that_a_reader_needs_is_in_no_half(there):
    """A check prints a long secret so often that its output is cut: no half of one is left at the cut."""
    there.key = there.environ["CODEX_RUNNER_CODEX__ENV__LONG_ONE"] = secrets.token_hex(700)
    file = there.scratch / "token"
    file.write_text(there.key)
    # 1 MiB of the output is kept, and of what is redacted 64 KiB: masks are short.
    print_it = f"printf x; i=0; while [ $i -lt 900 ]; do cat {file}; echo; i=$((i+1)); done; exit 3"
    there.configure(checks=[{"name": "it", "run": print_it}])
    done = there.run()
    file.unlink()
    assert done.code in {1, 12}, done.stderr[-2000:]
    halves = [there.key[at : at + 200] for at in range(0, len(there.key) - 200, 50)]
    found = [path for path, data in tree(done.run.path).items() if any(half.encode() in data for half in halves)]
    assert found == []
    assert not any(half in done.stderr for half in halves)


SAID_OF_CHECKS = {
    "a check's command": {"checks": [{"name": "it", "run": "test '{key}' = '{key}'"}]},
    "a check's name": {"checks": [{"name": "{key}", "run": "true"}]},
}


@pytest.mark.thorough
@pytest.mark.parametrize("way", SAID_OF_CHECKS)
def test_a_check_that_names_a_secret(project, way):
    """In its command, in its name."""
    says_nothing_of(project, SAID_OF_CHECKS[way])
