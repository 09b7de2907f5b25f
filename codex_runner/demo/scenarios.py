"""The scenarios of the scripted model: each answers a request by its step, like a model or like a failing one.

A scenario is called with the step (the number of tool results since the user's message) and the request. It is
stateless: the request holds the facts of earlier ones (`asked`, `outputs`, `follow_ups`). A number after its name in
the prompt (`SCN:slow:5`) is `request.argument`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from codex_runner.demo.model_wire import (
    Answer,
    CutStream,
    Failed,
    HttpError,
    Item,
    Reply,
    Silence,
    TokenUsage,
    add_file,
    delete_file,
    message,
    patch,
    plan,
    reasoning,
    refusal,
    refuse,
    reply,
    shell,
    update_line,
    web_search,
)
from codex_runner.demo.release_notes import release_notes
from codex_runner.shell.script import shell_script

if TYPE_CHECKING:
    from codex_runner.demo.model_request import ModelRequest

Scenario = Callable[[int, "ModelRequest"], Answer]


def script(*steps: Answer | Item | tuple[Item, ...]) -> Scenario:
    """Return a scenario of fixed steps. It repeats the last one for as long as codex asks."""
    answers = [_as_answer(step) for step in steps]
    return lambda step, _request: answers[min(step, len(answers) - 1)]


def _as_answer(step: Answer | Item | tuple[Item, ...]) -> Answer:
    if isinstance(step, dict):
        return reply(step)
    return Reply(step) if isinstance(step, tuple) else step


def _argument(request: ModelRequest, default: int) -> int:
    return default if request.argument is None else request.argument


def _rate_limited(_step: int, request: ModelRequest) -> Answer:
    """Refuse with a rate limit. The argument (default 1) is the seconds until the next try."""
    seconds = _argument(request, 1)
    text = f"Rate limit reached. Please try again in {seconds}s."
    error = {"message": text, "type": "requests", "code": "rate_limit_exceeded"}
    return HttpError(429, error, {"retry-after": str(seconds)})


def _usage_limited(_step: int, request: ModelRequest) -> Answer:
    """Refuse until the plan's limit resets. The argument (default 3600) is the seconds until then."""
    resets = int(time.time()) + _argument(request, 3600)
    error = {
        "type": "usage_limit_reached",
        "message": "The usage limit has been reached",
        "plan_type": "enterprise",
        "resets_at": resets,
    }
    window = {"used-percent": "100", "window-minutes": "300", "resets-at": str(resets)}
    return HttpError(429, error, {f"x-codex-primary-{name}": value for name, value in window.items()})


def _flaky(_step: int, request: ModelRequest) -> Answer:
    """Fail as often as the argument (default 2) says, then succeed."""
    if request.asked < _argument(request, 2):
        return refuse(500, "a transient failure", kind="server_error")
    return reply(message("recovered"))


def _slow(step: int, request: ModelRequest) -> Answer:
    """Run as many commands of one second as the argument (default 20) says."""
    if step < _argument(request, 20):
        return reply(shell(f"echo step {step}; sleep 1"))
    return reply(message("slow work done"))


def _long_command(step: int, request: ModelRequest) -> Answer:
    """Run one command for the argument (default 60) in seconds, and wait for it as long as codex allows."""
    if step == 0:
        return reply(shell(f"echo start; sleep {_argument(request, 60)}; echo end", wait=30))
    return reply(message("the long command is done"))


def _background(step: int, request: ModelRequest) -> Answer:
    """End the turn while a command of the argument (default 60) in seconds still runs in codex's shell."""
    if step == 0:
        return reply(shell(f"echo begin; sleep {_argument(request, 60)}; echo finish", wait=0.5))
    return reply(message("did not wait for the command"))


def _detached(step: int, request: ModelRequest) -> Answer:
    """Leave a process of the argument (default 60) in seconds behind, in a session of its own."""
    if step == 0:
        return reply(shell(f"setsid sleep {_argument(request, 60)} </dev/null >/dev/null 2>&1 & echo detached"))
    return reply(message("left a process behind"))


def _big_output(step: int, request: ModelRequest) -> Answer:
    """Print as many bytes as the argument (default 1,000,000) says, in lines of 80."""
    if step == 0:
        # The pipe ends from its first program: codex's commands ignore SIGPIPE, so `yes | cut` would never end.
        size = _argument(request, 1_000_000) * 79 // 80
        return reply(shell(f"head -c {size} /dev/zero | tr '\\0' x | fold -w 79", wait=30))
    return reply(message("big output done"))


def _many_items(_step: int, request: ModelRequest) -> Answer:
    """Send as many messages in one response as the argument (default 1,000) says."""
    return reply(*(message(f"item {number}") for number in range(_argument(request, 1000))))


def _tokens(_step: int, request: ModelRequest) -> Answer:
    """Bill the argument (default 1,000,000) as input tokens."""
    return Reply((message("that was expensive"),), TokenUsage(input=_argument(request, 1_000_000)))


def _drip(_step: int, request: ModelRequest) -> Answer:
    """Answer in small pieces, one after each pause of the argument (default 200) in milliseconds."""
    text = "A slow answer that comes a few words at a time, but it does come to its end."
    return Reply((message(text),), delay=_argument(request, 200) / 1000)


def _silent(_step: int, request: ModelRequest) -> Answer:
    """Begin a response and stall for the argument (default 600) in seconds."""
    return Silence(_argument(request, 600))


def _resume(_step: int, request: ModelRequest) -> Answer:
    """Answer the first prompt, and each later prompt of the same thread by its number and its text."""
    if not request.follow_ups:
        return reply(message("first answer"))
    return reply(message(f"answer {len(request.follow_ups) + 1}, to: {request.follow_ups[-1]}"))


_HELLO = add_file("hello.txt", "hello\nworld")

BUILT_IN: dict[str, Scenario] = {
    # turns that succeed
    "hi": script(message("hello from the scripted model")),
    "reasoning": script((reasoning("**Thinking** about it"), message("done thinking"))),
    "command": script(
        (message("I will run a command"), shell("echo out-line; echo err-line >&2; pwd")),
        message("command done"),
    ),
    "command_failing": script(shell("echo about to fail; exit 3"), message("the command failed")),
    "patch": script(
        patch(_HELLO),
        patch(update_line("hello.txt", "world", "there")),
        patch(delete_file("hello.txt")),
        message("patches done"),
    ),
    "patch_add": script(patch(_HELLO), message("patch done")),
    "patch_outside": script(
        patch(add_file("/outside-the-workspace/file.txt", "must not be")),
        message("the patch was refused"),
    ),
    "todo": script(
        plan(("first", "in_progress"), ("second", "pending")),
        plan(("first", "completed"), ("second", "in_progress")),
        plan(("first", "completed"), ("second", "completed")),
        message("plan done"),
    ),
    "web_search": script((web_search("weather"), message("searched"))),
    "json": script(message(json.dumps({"answer": 42, "ok": True}))),
    "refusal": script(refusal("I cannot help with that.")),
    "empty": script(()),
    "release_notes": release_notes,
    "resume": _resume,
    # errors of the service
    "error_400": script(refuse(400, "a malformed request", "bad")),
    "error_401": script(refuse(401, "Incorrect API key provided", "invalid_api_key")),
    "error_403": script(refuse(403, "not for this account", "forbidden")),
    "error_404": script(refuse(404, "The model does not exist", "model_not_found")),
    "error_429": _rate_limited,
    "error_500": script(refuse(500, "internal error", kind="server_error")),
    "error_503": script(refuse(503, "overloaded", "server_is_overloaded", kind="server_error")),
    "usage_limit": _usage_limited,
    "quota": script(refuse(429, "You exceeded your current quota", "insufficient_quota", kind="insufficient_quota")),
    "flaky": _flaky,
    "failed": script(Failed("server_error", "the response failed")),
    "failed_context": script(Failed("context_length_exceeded", "Your input exceeds the context window.")),
    "failed_quota": script(Failed("insufficient_quota", "You exceeded your current quota.")),
    "failed_rate": script(Failed("rate_limit_exceeded", "Rate limit reached. Please try again in 1s.")),
    # connections that break, and slow ones
    "cut": script(CutStream((message("partial"),))),
    "cut_after_command": script(shell("echo before the cut"), CutStream()),
    "silent": _silent,
    "drip": _drip,
    # commands that take long, print much, keep running, or search for secrets
    "slow": _slow,
    "long_command": _long_command,
    "background": _background,
    "detached": _detached,
    "big_output": _big_output,
    "many_items": _many_items,
    "tokens": _tokens,
    "environment": script(shell("env | sort"), message("environment printed")),
    # Prints all places in an agent's reach that could hold a secret, so that a test can search the output for it.
    "snoop": script(shell(shell_script("codex_runner.demo", "snoop.sh")), message("looked everywhere")),
}
