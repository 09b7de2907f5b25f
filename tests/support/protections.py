"""The rules that GitHub and GitLab document for branches, in the words that each prints, and git's own."""

from codex_runner.demo.forge_state import Protection

_GH006 = "error: GH006: Protected branch update failed for refs/heads/codex/docs."
_GH013 = "error: GH013: Repository rule violations found for refs/heads/codex/docs."
_CLASSIC, _RULESET, _GITLAB = (
    "protected branch hook declined",
    "push declined due to repository rule violations",
    "pre-receive hook declined",
)
_REVIEW = "Review all repository rules at https://github.com/acme/app/rules?ref=refs%2Fheads%2Fcodex%2Fdocs"
_FOUND = "Repository rule violations found\n\n{}\n\n"


def on_github(said, *more, when="any", pattern="codex/**"):
    lines = (_GH013, _REVIEW, "", f"- {said}", *more, "")
    return Protection(pattern, _RULESET, lines, _FOUND.format(said), when)


def on_gitlab(said, when="any", pattern="codex/**"):
    return Protection(pattern, _GITLAB, (f"GitLab: {said}",), when=when)


def classic(said, when="any", pattern="codex/**"):
    return Protection(pattern, _CLASSIC, (_GH006, f"error: {said}"), when=when)


UNSIGNED = on_github("Commits must have verified signatures.", "  Found 1 violation:", "", "  027faa7", when="unsigned")

# What the forge says, what the message has to say of the cause, what the remedy has to name, and what it must not.
GITHUB = {
    "classic": (classic("Changes must be made through a pull request."), "is protected", "Exempt the branch"),
    "checks": (classic('Required status check "build" is expected.'), "is protected", "Exempt the branch"),
    "ruleset": (on_github("Changes must be made through a pull request."), "is protected", "Exempt the branch"),
    "creation": (
        on_github("Cannot create ref due to creations being restricted.", when="create"),
        "is protected from being created",
        "Exempt the branch",
    ),
    "unsigned": (UNSIGNED, "takes only signed commits", "App's token or GITHUB_TOKEN"),
    "secrets": (
        on_github("GITHUB PUSH PROTECTION", "  Push cannot contain secrets"),
        "finds a secret",
        "Take the secret out",
    ),
    "large": (
        Protection(
            "codex/**",
            "pre-receive hook declined",
            (
                "error: Trace: 0123456789abcdef",
                "error: See https://gh.io/lfs for more information.",
                "error: File big.bin is 120.00 MB; this exceeds GitHub's file size limit of 100.00 MB",
                "error: GH001: Large files detected. You may want to try Git Large File Storage.",
            ),
        ),
        "a file of the change is too large",
        "Git LFS",
    ),
}
GITLAB = {
    "protected": (
        on_gitlab("You are not allowed to push code to protected branches on this project."),
        "is protected",
        "Exempt the branch",
    ),
    "creation": (
        on_gitlab("You are not allowed to create protected branches on this project.", when="create"),
        "is protected from being created",
        "Exempt the branch",
    ),
    "permission": (
        on_gitlab("You are not allowed to push code to this project."),
        "the credential may not write",
        "role Developer",
    ),
    "quota": (
        on_gitlab(
            "Your push has been rejected, because this repository has exceeded its size limit of 10 MiB by 5 MiB. "
            "Please contact your GitLab administrator for more information."
        ),
        "has no room",
        "Raise the limit",
    ),
    "unsigned": (on_gitlab("Commit must be signed with a GPG key"), "takes only signed commits", "exempt the branch"),
    "name": (
        on_gitlab("Branch name 'codex/docs' does not follow the pattern '^(feature|fix)/'"),
        "has a name that a push rule refuses",
        "another `branch`",
    ),
    "message": (
        on_gitlab("Commit message does not follow the pattern '^JIRA-[0-9]+ '"),
        "refuses the commit message",
        "delivery.commit_message",
    ),
    "committer": (
        on_gitlab(
            "You cannot push commits for 'codex-runner@localhost'. You can only push commits if the committer email is "
            "one of your own verified emails."
        ),
        "refuses its author or committer",
        "codex-runner@localhost",
    ),
}
REPLACING = {
    "github": on_github("Cannot force-push to this branch", when="replace"),
    "gitlab": on_gitlab("You are not allowed to force push code to a protected branch on this project.", "replace"),
}
