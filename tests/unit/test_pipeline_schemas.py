"""The published schemas of the CI systems take what users copy, and notice a mistake in it."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.starters import examples

pytestmark = pytest.mark.skipif(importlib.util.find_spec("check_jsonschema") is None, reason="no check-jsonschema")

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FACES = [ROOT / "action.yml", ROOT / "ci" / "github" / "action.yml"]
EXAMPLES = examples()


def judged(schema, *files, options=()):
    """Have a published schema judge files. Returns what is wrong with them."""
    command = [sys.executable, "-m", "check_jsonschema", *options, "--builtin-schema", schema, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


# Some of its patterns are not for Unicode.
OF_AZURE = ("--regex-variant", "nonunicode")


def as_azure_reads(text, file):
    """Write a pipeline as Azure reads it: every scalar is a string. Return the file."""
    file.write_text(json.dumps(yaml.load(text, yaml.BaseLoader)))
    return file


def test_the_published_schemas_take_them(tmp_path):
    # GitLab's component is two documents. The schema knows both.
    header, body = tmp_path / "header.yml", tmp_path / "body.yml"
    texts = EXAMPLES["templates/codex-runner.yml"].split("\n---\n")
    for file, text in zip((header, body), texts, strict=True):
        file.write_text(text)
    assert judged("vendor.gitlab-ci", header, body) == ""
    assert judged("vendor.github-workflows", *WORKFLOWS) == ""
    assert judged("vendor.github-actions", *FACES) == ""
    azure = as_azure_reads(EXAMPLES["ci/azure/azure-pipelines.yml"], tmp_path / "azure.json")
    assert judged("vendor.azure-pipelines", azure, options=OF_AZURE) == ""


def test_githubs_schema_takes_forgejos_workflow_too():
    """Forgejo publishes none that is JSON Schema: its runner's own validator judges, if it is installed."""
    workflow = ROOT / "ci/forgejo/nightly-docs.yml"
    assert judged("vendor.github-workflows", workflow) == ""
    if (runner := shutil.which("forgejo-runner")) is not None:
        done = subprocess.run([runner, "validate", "--workflow", "--path", workflow], capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("schema", "path", "right", "wrong"),
    [
        ("vendor.azure-pipelines", "ci/azure/azure-pipelines.yml", "timeoutInMinutes: ", "timeoutMinutes: "),
        ("vendor.github-workflows", "ci/forgejo/nightly-docs.yml", "runs-on: ", "run-on: "),
        ("vendor.gitlab-ci", "templates/codex-runner.yml", "  inputs:", "  input:"),
    ],
)
def test_a_schema_notices_a_mistake(tmp_path, schema, path, right, wrong):
    text = EXAMPLES[path].partition("\n---\n")[0]
    assert right in text
    file = tmp_path / "pipeline.yml"
    if "azure" in schema:
        assert judged(schema, as_azure_reads(text.replace(right, wrong), file), options=OF_AZURE)
    else:
        file.write_text(text.replace(right, wrong))
        assert judged(schema, file)
