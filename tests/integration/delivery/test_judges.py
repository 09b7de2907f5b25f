"""Others judge the small forge: GitHub's published schemas its answers and what is asked, python-gitlab all of it."""

import json
import os
import re

import gitlab as python_gitlab
import graphql
import jsonschema
import pytest
from support.forge import (
    APP,
    BRANCH,
    MESSAGE,
    PAT,
    PROJECT,
    READER,
    TEXT,
    change,
    github,
    gitlab,
    pushed,
    small_forge,
    use,
)
from support.places import build_folder
from support.tools import GITHUB_GRAPHQL, GITHUB_REST, file_of_npm

from codex_runner.delivery import github as github_module
from codex_runner.delivery import github_commits
from codex_runner.domain.delivery import Decoration
from codex_runner.domain.errors import RunnerError
from codex_runner.text.dates import parse_date


def published(package):
    path = file_of_npm(*package, build_folder())
    if path is None:
        assert os.environ.get("CI") != "true", f"npm did not bring {package}"
        pytest.skip("npm did not bring GitHub's schema")
    return path.read_text()


@pytest.fixture
def forge(tmp_path):
    with small_forge(tmp_path) as running:
        yield running


def recorded(forge):
    """Have the forge keep its replies beside the requests."""
    replies = []
    answer = forge._answer

    def kept(request):
        reply = answer(request)
        replies.append((request, reply))
        return reply

    forge._answer = kept
    return replies


async def everything(hub, forge):
    """Each endpoint that a delivery uses, and refusals."""
    await hub.check(None)
    plain, contents = change(forge, {"NOTES.md": b"notes\n"})
    made = await hub.commits.make(BRANCH, plain, MESSAGE, contents, None)
    await hub.commits.move(BRANCH, None, made.oid)
    await hub.commits.tidy(BRANCH, made.oid)
    mixed, contents = change(forge, {"run": b"#!/bin/sh\n", "bin": b"\0\1"}, {"run": "100755"})
    await hub.commits.make(BRANCH, mixed, MESSAGE, contents, None)
    await hub.open(BRANCH, "main", TEXT)
    await hub.open(BRANCH, "main", TEXT)
    await hub.update(1, TEXT)
    await hub.decorate(1, Decoration(("new",), ("grace", "acme/writers", "stranger"), ("ada",)))
    await hub.find(BRANCH)
    await hub.close(1)
    await hub.outcome(1)
    await hub.outcome(99)


def exchanges(forge):
    replies = recorded(forge)
    use(github(forge), lambda hub: everything(hub, forge))
    for token in (READER, "ghs_nobodys"):
        with pytest.raises(RunnerError):
            use(github(forge, token), lambda hub: hub.open(BRANCH, "main", TEXT))
    forge.project.settings.remaining = 0
    with pytest.raises(RunnerError):
        use(github(forge), lambda hub: hub.check(None))
    return replies


def test_the_mutations_are_valid_in_githubs_schema(forge):
    schema = graphql.build_schema(published(GITHUB_GRAPHQL), assume_valid=True)  # it names a field twice
    for query in (github_module._WHO, github_commits.COMMIT, github_commits.UPDATE):
        assert graphql.validate(schema, graphql.parse(query)) == []
    asked = [
        (request.document, json.loads(reply.body)) for request, reply in exchanges(forge) if "graphql" in request.path
    ]
    names = {name for document, _ in asked for name in re.findall(r"createCommit|updateRefs|viewer", document["query"])}
    assert names == {"createCommit", "updateRefs", "viewer"}
    for document, answered in asked:
        operation = graphql.parse(document["query"]).definitions[0]
        variables = graphql.execution.values.get_variable_values(
            schema, operation.variable_definitions or (), document["variables"]
        )
        assert not isinstance(variables, list), variables
        # The answer is what the schema's own execution would make of the same data.
        if answered.get("data") and not answered.get("errors"):
            again = graphql.graphql_sync(
                schema, document["query"], root_value=_roots(answered["data"]), variable_values=document["variables"]
            )
            assert (again.errors, again.data) == (None, answered["data"])


def _roots(data):
    """Fields of a mutation are called with their arguments."""
    return {name: (lambda *_, value=value, **__: value) if name != "viewer" else value for name, value in data.items()}


def test_the_answers_are_valid_in_githubs_description(forge):
    description = json.loads(published(GITHUB_REST))
    seen = set()
    for request, reply in exchanges(forge):
        if "graphql" in request.path:
            continue
        template, operation = _operation(description, request)
        seen.add((request.method, template))
        schema = _schema(description, operation, reply.status)
        if schema is not None:
            _judge(description, schema, json.loads(reply.body))
        if request.body:
            asked = operation["requestBody"]["content"]["application/json"]["schema"]
            _judge(description, asked, request.document)
    assert len(seen) == 13, sorted(seen)


def _operation(description, request):
    """The operation of a request. A path's parameters match one part, but a ref has many."""
    path = request.path.removeprefix("/api/v3")
    for template, operations in description["paths"].items():
        pattern = re.sub(r"\\{(\w+)\\}", lambda m: ".+" if m[1] == "ref" else "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path) and request.method.lower() in operations:
            return template, operations[request.method.lower()]
    raise AssertionError(f"GitHub describes no {request.method} {path}")


# What GitHub answers to any request, and does not repeat at each.
ANYWHERE = {401: "basic-error", 403: "basic-error"}


def _schema(description, operation, status):
    response = operation["responses"].get(str(status))
    if response is None:
        return description["components"]["schemas"][ANYWHERE[status]]
    if "$ref" in response:
        response = description["components"]["responses"][response["$ref"].rpartition("/")[2]]
    return response.get("content", {}).get("application/json", {}).get("schema")


def _judge(description, schema, document):
    """Judge a document by a schema, which takes with it the others to which it refers."""
    others, left = {}, [schema]
    while left:
        for name in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(left.pop())):
            if name not in others:
                others[name] = _of_json_schema(description["components"]["schemas"][name])
                left.append(others[name])
    whole = {"components": {"schemas": others}, "allOf": [_of_json_schema(schema)]}
    jsonschema.Draft4Validator(whole).validate(document)


def _of_json_schema(value):
    """OpenAPI 3.0 says `nullable` beside a type, where JSON Schema says it in the type."""
    if isinstance(value, list):
        return [_of_json_schema(each) for each in value]
    if not isinstance(value, dict):
        return value
    made = {name: _of_json_schema(each) for name, each in value.items() if name not in {"nullable", "example"}}
    return {"anyOf": [{"type": "null"}, made]} if value.get("nullable") is True else made


def test_python_gitlab_finds_what_the_adapter_has_made(forge):
    pushed(forge)
    lab = python_gitlab.Gitlab(forge.url, private_token=PROJECT)
    project = lab.projects.get("acme/app")
    assert project.default_branch == "main"
    assert project.branches.get(BRANCH).commit["id"] == forge.repository.tip(BRANCH)
    made = project.mergerequests.create(
        {"source_branch": BRANCH, "target_branch": "main", "title": "Draft: x", "description": "y"}
    )
    assert made.draft
    with pytest.raises(python_gitlab.exceptions.GitlabCreateError) as told:
        project.mergerequests.create({"source_branch": BRANCH, "target_branch": "main", "title": "x"})
    assert told.value.response_code == 409
    made.labels, made.reviewer_ids = ["new"], [lab.users.list(username="grace")[0].id]
    made.title = "x"
    made.save()
    made.state_event = "close"
    made.save()
    (found,) = project.mergerequests.list(source_branch=BRANCH, state="all", get_all=True)
    assert (found.iid, found.state, found.draft, found.labels) == (1, "closed", False, ["new"])
    assert found.reviewers[0]["username"] == "grace"
    forge.project.reopen(1)
    forge.project.merge(1, squash=True)
    merged, outcome = project.mergerequests.get(1), use(gitlab(forge), lambda port: port.outcome(1))
    assert (merged.state, outcome.state) == ("merged", "merged")
    assert parse_date(merged.merged_at) == outcome.merged
    forge.project.remove(1)
    with pytest.raises(python_gitlab.exceptions.GitlabGetError):
        project.mergerequests.get(1)
    with pytest.raises(python_gitlab.exceptions.GitlabAuthenticationError):
        python_gitlab.Gitlab(forge.url, private_token=APP + PAT).projects.get("acme/app")
