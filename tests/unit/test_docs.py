"""The docs say what the code does: tables, commands, links, examples. Run `ci/docs` where a table is out of date."""

import importlib
import importlib.util
import json
import os
import pkgutil
import re
import tomllib
from pathlib import Path

import pytest
import typer

import codex_runner
from codex_runner.cli.main import command_line
from codex_runner.config import load, resolve_job
from codex_runner.config.first_file import FIRST_JOB, STARTER
from codex_runner.domain.errors import RunnerError
from codex_runner.domain.event import record_from_json, record_to_json
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.failure import Failure

TOP = Path(__file__).parents[2]
DOCUMENTS = [
    "README.md",
    "CHANGELOG.md",
    "SECURITY.md",
    ".github/CONTRIBUTING.md",
    *(p.relative_to(TOP).as_posix() for p in sorted((TOP / "docs").rglob("*.md"))),
]
PYPROJECT = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))

# Described before they can be called. A name goes from here as soon as its command is there.
NOT_YET: set[str] = set()


def load_generator():
    spec = importlib.util.spec_from_file_location("generated_docs", TOP / "ci/docs.py")
    module = importlib.util.module_from_spec(spec)
    importlib.sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


docs = load_generator()


def read(document):
    return (TOP / document).read_text(encoding="utf-8")


def blocks(document, *languages):
    """Return the fenced blocks of these languages."""
    return [
        text
        for language, text in re.findall(r"^```(\w*)\n(.*?)^```", read(document), re.MULTILINE | re.DOTALL)
        if language in languages
    ]


def prose(document):
    """Return the text without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", read(document), flags=re.MULTILINE | re.DOTALL)


# --- what the code knows better ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", docs.PLACES)
def test_generated_tables_are_up_to_date(document):
    assert read(document) == docs.filled(document), "run ci/docs"


def test_every_command_and_option_that_typer_knows_is_described():
    described = {each.name: {name for p in each.parameters for name in p.names} for each in docs.all_commands()}
    known = {}

    def collect(command, name):
        below = getattr(command, "commands", None)
        if below is None:
            options = [p for p in command.params if p.param_type_name == "option"]
            known[name] = {opt for p in options if not p.hidden and p.name != "help" for opt in p.opts}
            return
        for each in below.values():
            if not each.hidden:
                collect(each, f"{name} {each.name}")

    collect(typer.main.get_command(command_line()), "codex-runner")
    assert described == known


def test_each_kind_of_error_has_an_exit_code_of_its_own():
    for module in pkgutil.walk_packages(codex_runner.__path__, "codex_runner."):
        importlib.import_module(module.name)
    kinds = RunnerError.__subclasses__()
    codes = [RunnerError.exit_code, *(kind.exit_code for kind in kinds)]
    assert len(codes) == len(set(codes)), sorted((kind.exit_code, kind.__name__) for kind in kinds)
    for kind in kinds:
        for narrower in kind.__subclasses__():
            assert narrower.exit_code == kind.exit_code, narrower


def test_every_exit_code_and_failure_has_its_row():
    for document in ("README.md", "docs/exit-codes.md"):
        rows = re.findall(r"^\| (\d+) \|.*$", read(document), re.MULTILINE)
        assert [int(code) for code in rows] == [int(code) for code in ExitCode], document
    failures = re.findall(r"^\| `([a-z-]+)` \| [^|]+ \| (\d+) \|", read("docs/failures.md"), re.MULTILINE)
    assert [(name, int(code)) for name, code in failures] == [(f.value, int(f.exit_code)) for f in Failure]


def names_of(requirements):
    return {re.match(r"[A-Za-z0-9._-]+", requirement)[0] for requirement in requirements} - {"codex-runner"}


@pytest.mark.parametrize(
    ("section", "requirements"),
    [
        ("At run time", PYPROJECT["project"]["dependencies"]),
        ("For the demo", PYPROJECT["project"]["optional-dependencies"]["demo"]),
        ("For `secret_scan`", PYPROJECT["project"]["optional-dependencies"]["scan"]),
        ("For signed audits", PYPROJECT["project"]["optional-dependencies"]["audit"]),
        ("For the site", PYPROJECT["project"]["optional-dependencies"]["docs"]),
        ("For development", PYPROJECT["project"]["optional-dependencies"]["dev"]),
        ("For a release", PYPROJECT["project"]["optional-dependencies"]["release"]),
    ],
)
def test_every_dependency_is_defended_and_no_other(section, requirements):
    text = read("docs/dependencies.md").split(f"## {section}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]+`) \|", text, re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)} == names_of(requirements)


def test_every_dependency_has_an_exact_version():
    comment, *lines = read("ci/constraints.txt").splitlines()
    assert comment.startswith("# ")
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    extras = PYPROJECT["project"]["optional-dependencies"]
    ours = [*PYPROJECT["project"]["dependencies"], *(each for extra in extras.values() for each in extra)]
    assert names_of(ours) <= pinned
    assert lines == sorted(lines, key=str.lower)


# --- what the docs say of the code ------------------------------------------------------------------------------------


def command_lines(document):
    """Yield the words of every call of codex-runner in the document's shell blocks and code spans."""
    lines = [line for text in blocks(document, "sh", "console", "yaml") for line in text.splitlines()]
    lines += re.findall(r"`(codex-runner [^`]+)`", prose(document).replace("\n", " "))
    for line in lines:
        if re.search(r"\bpipx? (?:install|inject)\b|\buv tool ", line):
            continue
        for call in re.split(r"\||&&|;|`|\$\(", line.split(" #")[0]):
            if found := re.search(r"(?:^|[\s:-])codex-runner ((?!COMMAND)[a-z-].*)$", call):
                # A pipe may stand within quotes, which the cut above leaves open.
                yield found[1].replace('"', " ").replace("'", " ").split()


def problem(words):
    """Say what is wrong with a call, or None."""
    known = {each.name: each for each in docs.all_commands()}
    if words[0].startswith("-"):
        return None if words[0] in {"--version", "--help", "-h", "--install-completion"} else f"no option {words[0]}"
    if words[0] in NOT_YET or words[0] == "codex-runner":
        return None
    name = next((n for n in (f"codex-runner {' '.join(words[:2])}", f"codex-runner {words[0]}") if n in known), None)
    if name is None:
        return f"no command {words[0]}"
    options = {option for parameter in known[name].parameters for option in parameter.names} | {"--help", "-h"}
    return next((f"{name} has no {w}" for w in words if re.match(r"--?[a-z]", w) and w not in options), None)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_that_are_named_exist(document):
    assert [(words, told) for words in command_lines(document) if (told := problem(words))] == []


def test_a_command_or_option_that_does_not_exist_is_noticed():
    assert problem(["runn", "docs"]) == "no command runn"
    assert problem(["run", "docs", "--jnuit", "x.xml"]) == "codex-runner run has no --jnuit"
    assert problem(["run", "docs", "--junit", "x.xml"]) is None


def test_the_readme_calls_the_commands_that_it_should():
    called = {words[0] for words in command_lines("README.md")}
    assert {"init", "run"} <= called


def test_nothing_is_called_not_yet_that_is_there():
    assert {each.name.split()[1] for each in docs.all_commands()} & NOT_YET == set()


def headings(document):
    seen = {}
    for heading in re.findall(r"^#{1,6} (.+)$", prose(document), re.MULTILINE):
        fragment = docs.anchor(heading)
        count = seen[fragment] = seen.get(fragment, -1) + 1
        yield f"{fragment}-{count}" if count else fragment


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        path, _, fragment = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        place = Path(os.path.normpath((TOP / document).parent / path)) if path else TOP / document
        if not place.exists() or (fragment and fragment not in headings(place.relative_to(TOP))):
            broken.append(target)
    assert broken == []


def missing_paths(text):
    """Return the paths of our own tree that a text names and that are not there; rooms may lack `codex_runner/`."""
    package = TOP / "codex_runner"
    rooms = {each.name for each in package.iterdir()} - {"artifacts"}  # to users, that is a folder of a run
    tops = {"ci", "codex_runner", "docs", "tests", ".github", *rooms}
    named = re.findall(r"`((?:[\w.-]+/)+[\w.-]*)(?:::\w+)?`", text)
    ours = [path for path in named if path.partition("/")[0] in tops]
    return [path for path in ours if not (TOP / path).exists() and not (package / path).exists()]


@pytest.mark.parametrize("document", [each for each in DOCUMENTS if each != "CHANGELOG.md"])
def test_source_paths_that_are_named_exist(document):
    assert missing_paths(prose(document)) == []


def test_a_source_path_that_does_not_exist_is_noticed():
    text = (
        "`engine/runner.py`, `engine/walker.py`, `tests/unit/test_docs.py`, `tests/none.py`, `prompts/x.md`, `sinks/`"
    )
    assert missing_paths(text) == ["engine/walker.py", "tests/none.py"]


def test_the_table_of_floors_is_the_one_that_import_linter_keeps():
    kept = next(each for each in PYPROJECT["tool"]["importlinter"]["contracts"] if each["type"] == "layers")
    floors = [set(re.split(r" \| ", layer)) for layer in kept["layers"]]
    text = read(".github/CONTRIBUTING.md").partition("| Floor |")[2].partition("\n\n")[0]
    told = [set(re.findall(r"`(\w+)/?`", row.split("|")[1])) for row in text.splitlines() if row.startswith("| `")]
    assert told == floors


def test_tests_that_the_readme_names_exist():
    named = re.findall(r"\[`(test_\w+)`\]\(([^)]+)\)", read("README.md"))
    assert len(named) >= 7
    assert [name for name, path in named if f"def {name}(" not in read(path)] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_examples_of_toml_and_json_can_be_read(document):
    for text in blocks(document, "toml"):
        tomllib.loads(text)
    for text in blocks(document, "json"):
        json.loads(text)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_whole_configurations_are_accepted(document, tmp_path):
    for text in blocks(document, "toml"):
        if "version = 1" not in text:
            continue
        (tmp_path / "codex-runner.toml").write_text(text, encoding="utf-8")
        for prompt in re.findall(r'prompt_file = "([^"]+)"', text):
            (tmp_path / prompt).parent.mkdir(exist_ok=True)
            (tmp_path / prompt).write_text("Do it.", encoding="utf-8")
        config = load(None, tmp_path, {})
        for job in config.jobs:
            assert resolve_job(config, job).prompt


def test_the_readmes_first_job_is_accepted(tmp_path):
    (line,) = blocks("README.md", "toml")
    text = STARTER.replace(f"[jobs.{FIRST_JOB}]\n", f"[jobs.{FIRST_JOB}]\n{line}")
    assert text != STARTER
    (tmp_path / "codex-runner.toml").write_text(text, encoding="utf-8")
    job = resolve_job(load(None, tmp_path, {}), FIRST_JOB)
    assert job.credential.place == "$CODEX_API_KEY"


def test_the_example_of_a_record_is_one():
    (line,) = blocks("docs/events.md", "json")
    data = json.loads(line)
    assert record_to_json(record_from_json(data)) == data


def test_every_promise_names_a_test_that_is_there():
    text = (TOP / "docs" / "security.md").read_text(encoding="utf-8")
    promised = text.partition("## What is promised")[2].partition("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in promised.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 10
    tests = {path.relative_to(TOP).as_posix(): path.read_text("utf-8") for path in TOP.glob("tests/**/test_*.py")}
    for promise, *_, shown in rows:
        assert re.search(r"`test(s/|_)[^`]+`", shown), promise
    for name in re.findall(r"`(tests/[^`]+\.py|test_\w+)`", text):
        assert name in tests or any(f"def {name}(" in source for source in tests.values()), name


@pytest.mark.parametrize("document", sorted((TOP / "docs/adr").glob("[0-9]*.md")), ids=lambda path: path.stem)
def test_each_decision_has_its_parts_and_its_line(document):
    text = document.read_text(encoding="utf-8")
    (title,) = re.findall(r"^# (\d+\. .+)$", text, re.MULTILINE)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
        "Context",
        "Decision",
        "Consequences",
        "What would change our mind",
    ]
    assert re.search(r"^Accepted \d{4}-\d\d-\d\d", text, re.MULTILINE)
    assert document.name.startswith(f"{int(title.split('.')[0]):04}-")
    assert f"| [{title}]({document.name}) |" in read("docs/adr/README.md")


def test_the_versions_of_python_are_those_of_the_package():
    (row,) = re.findall(r"^\| Python, .*$", read("docs/compatibility.md"), re.MULTILINE)
    classified = [each.split(" :: ")[-1] for each in PYPROJECT["project"]["classifiers"] if ":: Python :: 3." in each]
    assert row.split("|")[2].strip() == ", ".join(classified)
