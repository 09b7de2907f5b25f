"""Reads a declarative Jenkinsfile as far as a controller would before it runs it: Groovy, then Jenkins' sections.

Jenkins' own linter is a part of its server. tree-sitter's grammar of Groovy judges the syntax,
https://www.jenkins.io/doc/book/pipeline/syntax/ the order of sections, and the files here the steps.
"""

import re
from dataclasses import dataclass

import tree_sitter
import tree_sitter_groovy

REQUIRED, SECTIONS = {"agent", "stages"}, {"triggers", "options", "environment", "parameters", "tools", "post"}
STAGE = {"agent", "environment", "options", "when", "post"}  # beside `steps`
CONDITIONS = {"always", "changed", "failure", "success", "unstable", "aborted", "cleanup", "unsuccessful"}
STEPS = {  # each with the arguments that may be named, None for a single one without a name; and whether it has a body
    "sh": ({None}, False),
    "junit": ({"testResults", "allowEmptyResults"}, False),
    "archiveArtifacts": ({"artifacts", "allowEmptyArchive"}, False),
    "withCredentials": ({None}, True),
    "withEnv": ({None}, True),
}
_ESCAPES = {"\n": "", "\\": "\\", "'": "'", '"': '"', "n": "\n", "t": "\t", "r": "\r", "$": "$"}


class JenkinsfileError(Exception):
    """Jenkins would refuse it."""


@dataclass
class Step:
    """A name, what stands in its parentheses (None for what has no name), and the steps in its braces."""

    name: str
    arguments: dict
    body: list | None

    def one(self, name):
        """The only step of this name in the body."""
        (found,) = (each for each in self.body if each.name == name)
        return found


def read(text):
    """Return the `pipeline` step of a Jenkinsfile. Raises JenkinsfileError if Jenkins would not start it."""
    tree = tree_sitter.Parser(tree_sitter.Language(tree_sitter_groovy.language())).parse(text.encode()).root_node
    if tree.has_error:
        raise JenkinsfileError(f"is no Groovy, at line {_first_error(tree).start_point[0] + 1}")
    steps = _steps(tree)
    if [step.name for step in steps] != ["pipeline"]:
        raise JenkinsfileError(f"is not one pipeline but {[step.name for step in steps]}")
    _check_pipeline(steps[0])
    return steps[0]


def scripts(step):
    """Return what a stage hands to a shell, in its order, each with the credentials that surround it."""
    found = []

    def look(step, bound):
        if step.name == "sh":
            found.append((step.arguments[None], bound))
        if step.name == "withCredentials":
            bound = bound | {each["variable"]: each["credentialsId"] for each in step.arguments[None]}
        for inner in step.body or ():
            look(inner, bound)

    look(step, {})
    return found


def _first_error(node):
    while children := [child for child in node.children if child.has_error]:
        node = children[0]
    return next((child for child in node.children if child.is_missing), node)


def _steps(node):
    return [_step(child) for child in node.named_children if child.type != "line_comment"]


def _step(node):
    if node.type == "expression_statement":
        (node,) = node.named_children
    if node.type == "local_variable_declaration":  # two words, such as `agent any`
        name, word = node.named_children
        return Step(name.text.decode(), {None: word.text.decode()}, None)
    if node.type not in {"method_invocation", "juxt_function_call"}:
        raise JenkinsfileError(f"has no step at line {node.start_point[0] + 1}: {node.text.decode()[:60]}")
    given = node.child_by_field_name("arguments") or node.child_by_field_name("args")
    body = node.child_by_field_name("body")
    name = node.child_by_field_name("name").text.decode()
    return Step(name, _arguments(given), None if body is None else _steps(body))


def _arguments(node):
    arguments = {}
    for child in node.named_children if node else ():
        key = child.child_by_field_name("key") if child.type == "map_item" else None
        value = child.child_by_field_name("value") if child.type == "map_item" else child
        name = key.text.decode() if key else None
        if name in arguments:
            raise JenkinsfileError(f"gives {name} twice at line {child.start_point[0] + 1}")
        arguments[name] = _value(value)
    return arguments


def _value(node):
    text = node.text.decode()
    if node.type in {"character_literal", "string_literal"}:
        quotes = "'''" if text.startswith("'''") else text[0]
        return _unescaped(text[len(quotes) : -len(quotes)])
    if node.type == "array_literal":
        return [_value(child) for child in node.named_children]
    if node.type == "method_invocation":
        return _arguments(node.child_by_field_name("arguments"))
    return text


def _unescaped(text):
    """Read a Groovy string: a backslash at a line's end joins two lines, and most others would not compile."""

    def one(match):
        if match[1] not in _ESCAPES:
            raise JenkinsfileError(f"has an escape that Groovy does not know: {match[0]!r}")
        return _ESCAPES[match[1]]

    return re.sub(r"\\(.)", one, text, flags=re.DOTALL)


def _check_pipeline(pipeline):
    names = [step.name for step in pipeline.body]
    if len(names) != len(set(names)) or not REQUIRED <= set(names) <= REQUIRED | SECTIONS:
        raise JenkinsfileError(f"has the sections {names}")
    for stage in pipeline.one("stages").body:
        inner = [step.name for step in stage.body]
        if stage.name != "stage" or set(inner) - STAGE != {"steps"} or not stage.arguments.get(None):
            raise JenkinsfileError(f"has a stage {stage.arguments} of {inner}")
        _check_steps(stage.one("steps").body)
    for condition in pipeline.one("post").body:
        if condition.name not in CONDITIONS:
            raise JenkinsfileError(f"does something in `post` after {condition.name}")
        _check_steps(condition.body)


def _check_steps(steps):
    if not steps:
        raise JenkinsfileError("has a block without a step")
    for step in steps:
        known, has_body = STEPS.get(step.name, (set(), False))
        if not step.arguments or not set(step.arguments) <= known or has_body != (step.body is not None):
            raise JenkinsfileError(f"has the step {step.name} with {step.arguments}")
        if has_body:
            _check_steps(step.body)
