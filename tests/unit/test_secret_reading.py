"""The one reader of secrets: what is taken, what is said, what is refused; and that the value is never told."""

import ast
import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path

import pytest

from codex_runner.app.audience import require_usable, targets_of
from codex_runner.app.secret_places import named_secrets
from codex_runner.config.settings import JobSettings, NotifySettings
from codex_runner.domain import secret_names
from codex_runner.domain.credential import AUTH_METHODS, CredentialKind, CredentialSpec, JwtAuth, VaultSettings
from codex_runner.domain.delivery_spec import DeliveryCredential, DeliverySpec
from codex_runner.domain.errors import ConfigurationError, CredentialError
from codex_runner.engine.secret_reading import LARGEST, SecretReader

ROOT = Path(__file__).parents[2]
SECRET = "hvs.the-value-nobody-may-see"

BROKEN = {
    f"{SECRET}\n{SECRET}": "a line break",
    f"{SECRET}\r\n\t{SECRET}": "a line break",
    f"{SECRET}\u2028{SECRET}": "a line break",
    f"{SECRET}\x0b{SECRET}": "a line break",
    f"{SECRET}\0{SECRET}": "a NUL character",
    f"\ufeff{SECRET}": "a byte order mark",
    f"{SECRET} {SECRET}": "white space",
    f"{SECRET}\u20ac": "no token has",
    f"{SECRET}\x1b[m": "no token has",
    SECRET + "a" * LARGEST: "longer than 64 KiB",
    f"{SECRET}\udcff": "not text",
}


@pytest.fixture
def heard():
    return {"secrets": [], "warned": []}


@pytest.fixture
def reader(heard):
    def make(**environ):
        return SecretReader(environ, heard["secrets"].append, lambda code, text: heard["warned"].append((code, text)))

    return make


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    path.write_text(f"{SECRET}\n")
    return path


@pytest.mark.parametrize("value", BROKEN, ids=BROKEN.values())
def test_what_is_no_header_is_refused_by_name_and_rule(reader, heard, value):
    with pytest.raises(CredentialError) as raised:
        reader(VAULT_TOKEN=value).find("VAULT_TOKEN")
    assert BROKEN[value] in raised.value.message
    assert "VAULT_TOKEN" in raised.value.message
    assert SECRET not in f"{raised.value.message} {raised.value.remedy}"
    # Whoever prints it all the same, a check for one, prints a mask.
    assert [str(secret) for secret in heard["secrets"]] == ["***VAULT_TOKEN***"] * (len(value) <= LARGEST)


def test_a_password_may_hold_more_than_a_token_and_no_line_break(reader):
    taken = reader(P=f"{SECRET} \u20ac").find("P", word=False)
    assert taken.reveal() == f"{SECRET} \u20ac"
    with pytest.raises(CredentialError, match="line break"):
        reader(P=f"{SECRET}\n{SECRET}").find("P", word=False)


@pytest.mark.parametrize("around", ["{} ", "{}\n", "\t{}", " {}\r\n"])
def test_white_space_around_a_value_is_stripped_and_said(reader, heard, around):
    assert reader(VAULT_TOKEN=around.format(SECRET)).find("VAULT_TOKEN").reveal() == SECRET
    ((code, sentence),) = heard["warned"]
    assert code == "secret-white-space"
    assert "VAULT_TOKEN" in sentence
    assert SECRET not in sentence


@pytest.mark.parametrize("value", ["", "  ", "\n"])
def test_what_is_not_set_is_missing(reader, value):
    assert reader(A=value).find("A") is None
    with pytest.raises(CredentialError, match="The variable A, which should hold it, is not set"):
        reader(A=value).variable("A", "it", "Set it.")


@pytest.mark.parametrize(("content", "said"), [("{}", 0), ("{}\n", 0), ("{}\r\n", 0), ("{}\n\n", 1), (" {}", 1)])
def test_the_end_of_a_files_one_line_is_no_white_space(reader, heard, file, content, said):
    file.write_text(content.format(SECRET), newline="")
    assert reader().file(str(file), "VAULT_TOKEN", "the token").reveal() == SECRET
    assert len(heard["warned"]) == said


@pytest.mark.parametrize(
    ("mode", "private", "outcome"),
    [
        (0o600, True, "taken"),
        (0o644, True, "refused"),
        (0o400, False, "taken"),
        (0o644, False, "warned"),
        (0o440, False, "warned"),
        (0o646, False, "refused"),
        (0o666, False, "refused"),
    ],
)
def test_the_mode_of_a_file(reader, heard, file, mode, private, outcome):
    file.chmod(mode)
    refusing = pytest.raises(CredentialError, match=f"{mode:04o}") if outcome == "refused" else nullcontext()
    with refusing:
        reader().file(str(file), "VAULT_TOKEN", "the token", private=private)
    assert [code for code, _ in heard["warned"]] == ["secret-file-mode"] * (outcome == "warned")


def test_a_pipe_is_not_even_opened(reader, tmp_path):
    """Whoever would write into it waits on: to open it would let them go."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(CredentialError, match="not a regular file"):
        reader().file(str(tmp_path / "pipe"), "VAULT_TOKEN", "the token")
    with pytest.raises(OSError, match="No such device"):
        os.open(tmp_path / "pipe", os.O_WRONLY | os.O_NONBLOCK)


@pytest.mark.parametrize("content", [b"a" * (LARGEST + 1), b"\xff\xfe\xff", b"", b" \n"])
def test_a_file_that_holds_no_secret(reader, file, content):
    file.write_bytes(content)
    with pytest.raises(CredentialError, match="64 KiB|not text|is empty"):  # noqa: RUF043 - any of them
        reader().file(str(file), "VAULT_TOKEN", "the token")


def test_a_setting_is_refused_as_one():
    """An address or a key of `[[notify]]`: exit code 3, before anything is spent. Afterwards it is a sentence."""
    settings = [NotifySettings("hook", url_variable="URL", token_variable="TOKEN")]
    environ = {"URL": "https://example.com/x", "TOKEN": f"{SECRET}\n{SECRET}"}
    with pytest.raises(ConfigurationError, match="notify 'hook': The variable TOKEN holds a line break") as raised:
        require_usable(settings, environ)
    assert SECRET not in raised.value.message
    targets, (sentence,) = targets_of(settings, environ)
    assert targets == []
    assert SECRET not in sentence
    require_usable(settings, {})


def test_a_missing_address_names_what_is_at_fault(tmp_path):
    file = str(tmp_path / "address")
    settings = [NotifySettings("one", url_variable="URL"), NotifySettings("two", url_file=file)]
    assert targets_of(settings, {}) == (
        [],
        [
            "one: its address is missing: the variable URL is not set.",
            f"two: its address is missing: the file {file} does not exist, or this user cannot read it.",
        ],
    )


# --- the table -------------------------------------------------------------------------------------------------------


def test_every_variable_that_settings_name_is_in_the_table():
    credential = CredentialSpec(variable="A", env_key="B")
    notify = NotifySettings("hook", url_variable="C", key_variable="D", token_variable="E")
    vault = VaultSettings(auth=JwtAuth("docs", token_variable="F"))
    delivery = DeliverySpec(credential=DeliveryCredential(variable="G"))
    jobs = [JobSettings(credential=credential, delivery=delivery), JobSettings()]
    assert named_secrets(jobs, vault, [notify]) == set("ABCDEFG")
    for auth in AUTH_METHODS.values():
        for field in fields(auth):
            if field.name.endswith("_variable") and isinstance(field.default, str):
                assert field.default in secret_names.NAMES, field.name
    for kind in CredentialKind:
        assert CredentialSpec(kind=kind).environment_variable in secret_names.NAMES


def test_what_reads_a_secret_takes_its_name_from_the_table():
    """No module but the table spells one."""
    spelt = []
    for path in sorted(ROOT.glob("codex_runner/**/*.py")):
        if path.name == "secret_names.py" or "demo" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in {"get", "find"}
            ):
                words = [each.value for each in node.args if isinstance(each, ast.Constant)]
                spelt += [(path.name, word) for word in words if word in secret_names.NAMES]
    assert spelt == []


@pytest.mark.parametrize(
    ("name", "value", "held"),
    [
        ("VAULT_TOKEN", "x", True),
        ("VAULT_ADDR", "x", False),
        ("CODEX_RUNNER_JOBS__A__CODEX__ENV__B", "x", True),
        ("HTTPS_PROXY", "http://user:password@proxy", True),
        ("https_proxy", "http://proxy:3128", False),
        ("VAULT_PROXY_ADDR", "user:password@proxy", True),
        ("AWS_PROFILE", "x", False),
        ("SSH_AUTH_SOCK", "x", False),
        ("MINE", "x", True),
    ],
)
def test_what_ssh_gets(name, value, held):
    assert secret_names.holds_secret(name, value, {"MINE"}) == held
    assert (name in secret_names.without_secrets({name: value}, {"MINE"})) != held
    assert name in secret_names.without_secrets({name: value}, {"MINE"}, [name])


# --- the whole command -----------------------------------------------------------------------------------------------

JOB = """version = 1
[vault]
address = "http://127.0.0.1:9"
{auth}
retry_deadline = "1s"
[jobs.docs]
prompt = "x"
credential = {{ path = "acme/app/docs", workflow = "acme/app/docs" }}
"""


@pytest.mark.parametrize(
    ("auth", "variable", "break_"),
    [
        ('auth = { method = "token" }', "VAULT_TOKEN", "\n"),
        ('auth = { method = "token" }', "BAO_TOKEN", "\r"),
        ('auth = { method = "jwt", role = "docs" }', "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "\r\n"),
        ('auth = { method = "jwt", role = "docs" }', "VAULT_ID_TOKEN", "\n"),
        ('auth = { method = "approle", role = "docs", role_id = "r" }', "VAULT_SECRET_ID", "\n"),
        ('auth = { method = "userpass", username = "ada" }', "VAULT_PASSWORD", "\n"),
    ],
)
def test_a_login_of_two_lines_is_told_by_nobody(tmp_path, auth, variable, break_):
    (tmp_path / "codex-runner.toml").write_text(JOB.format(auth=auth))
    url = {"ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1:9/"} if variable.startswith("ACTIONS") else {}
    done = run(tmp_path, ["run", "docs"], {variable: f"{SECRET}{break_}{SECRET}", **url})
    assert done.returncode == 4, done.stderr
    assert f"The variable {variable} holds a line break" in done.stderr
    told = done.stdout + done.stderr
    told += "".join(path.read_text() for path in tmp_path.glob("codex-runner-out/*/*") if path.is_file())
    assert "run.json" in str(list(tmp_path.glob("codex-runner-out/*/*")))
    assert SECRET not in told


def test_githubs_token_of_two_lines(tmp_path):
    arguments = ["vault", "setup", "--workflow", "acme/app/docs", "--repo", "acme/app"]
    environ = {"GITHUB_TOKEN": f"{SECRET}\n{SECRET}", "GITHUB_API_URL": "http://127.0.0.1:9"}
    done = run(tmp_path, arguments, environ)
    assert SECRET not in done.stdout + done.stderr
    assert (done.returncode, "GITHUB_TOKEN holds a line break" in done.stderr) == (4, True), done.stderr


def run(folder, arguments, environ):
    command = [str(Path(sys.executable).parent / "codex-runner"), *arguments]
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_STATE_HOME": str(folder / "state"), **environ}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
