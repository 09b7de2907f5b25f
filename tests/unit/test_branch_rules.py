"""The cause of a refused branch: each rule's words, as a push prints them and as GitHub's API says them."""

import pytest
from support.protections import GITHUB, GITLAB, REPLACING

from codex_runner.delivery.answer import Answer
from codex_runner.delivery.branch_rules import rule_of
from codex_runner.delivery.github_tokens import refused_remedy
from codex_runner.delivery.refusals import RefusalWords
from codex_runner.delivery.remote import Remote

RULES = {
    **{f"github {name}": row for name, row in GITHUB.items()},
    **{f"gitlab {name}": row for name, row in GITLAB.items()},
    **{f"{name} replaces": (rule, "from being replaced", "Allow force") for name, rule in REPLACING.items()},
}


@pytest.mark.parametrize("name", RULES)
def test_each_rule_has_its_own_cause(name):
    rule, cause, remedy = RULES[name]
    printed = "".join(f"remote: {line}        \n" for line in rule.lines).encode()
    error = RefusalWords(Remote("https://forge.example/o/r.git")).of_rejection(
        "refs/heads/codex/docs", rule.reason, printed
    )
    assert error.message.startswith("codex/docs ")
    assert cause in error.message
    assert remedy in error.remedy
    for other, its_cause, _ in RULES.values():
        found = rule_of("\n".join((other.reason, *other.lines)))
        assert found is not None
        assert (found.sentence in error.message) is (its_cause == cause)


@pytest.mark.parametrize("name", [name for name in RULES if "Repository rule" in RULES[name][0].message])
def test_the_api_says_the_same(name):
    rule, _, remedy = RULES[name]
    message = rule.message.replace("\n", "\\n")
    answer = Answer(200, {}, f'{{"errors": [{{"type": "UNPROCESSABLE", "message": "{message}"}}]}}'.encode())
    assert remedy in refused_remedy(answer)


@pytest.mark.parametrize(
    "said",
    [
        "the commit 'Explain GH006: protected branch hook declined' has no ticket",
        "docs/no-space.md: No space left on device is no title",
        "see GH013: ask the release team",
        "must be signed off by a lead",
        "non-fast-forward is what we call it",
    ],
)
def test_a_hook_that_speaks_of_a_rule_is_a_hook(said):
    error = RefusalWords(Remote("/srv/x.git")).of_rejection("refs/heads/codex/docs", "hook declined", said.encode())
    assert error.message == f"codex/docs was declined by a hook of the repository: {said}."


def test_words_that_nobody_knows_are_told():
    error = RefusalWords(Remote("/srv/x.git")).of_rejection("refs/heads/codex/docs", "shallow update not allowed", b"")
    assert error.message == "codex/docs was not pushed: shallow update not allowed."
