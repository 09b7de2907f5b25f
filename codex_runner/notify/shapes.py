"""The notification in the formats of the receivers. Text of the agent and the job cannot become markup in any."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.notice import NoticeFormat
from codex_runner.text.counts import counted
from codex_runner.text.durations import format_duration
from codex_runner.text.excerpts import shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SIGNS = {"succeeded": "✅", "skipped": "⏭️"}
_NTFY_BYTES = 4000  # of 4096: a longer message becomes an attachment
_PARAGRAPH = 900  # characters: Teams takes no more than 28 kB in all
_REPLY = 1500


def shaped(shape: NoticeFormat, document: Mapping[str, Any], address: str) -> tuple[str, dict[str, Any]]:
    """Return the address to post to, and the JSON object to post, for a receiver at `address`."""
    data = document["data"]
    match shape:
        case NoticeFormat.JSON:
            return address, dict(document)
        case NoticeFormat.SLACK:
            return address, _slack(data)
        case NoticeFormat.TEAMS:
            return address, _teams(data)
        case NoticeFormat.NTFY:
            return _ntfy(data, address)


def title(data: Mapping[str, Any]) -> str:
    """Return job and ending: `release-notes: succeeded`, `release-notes: failed (timeout)`."""
    ending = data["ending"].replace("-", " ")
    if data["result"] == "failed":
        ending = "failed" if data["exit_code"] == ExitCode.JOB_FAILED else f"failed ({ending})"
    return f"{data['job']}: {ending}"


def _sign(data: Mapping[str, Any]) -> str:
    return _SIGNS.get(data["result"], "❌")


def _facts(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Host", data["host"]
    yield "Took", format_duration(data["seconds"])
    yield "Tokens", f"{data['usage']['total']:,}"
    yield "Attempts", str(data["attempts"])
    if data["exit_code"]:
        yield "Exit code", str(data["exit_code"])
    if data["files"]:
        yield "Changed", counted(data["files"], "file")
    if delivery := data["delivery"]:
        yield "Delivery", " ".join(part for part in (delivery["state"], delivery["link"]) if part)


def _paragraphs(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield the paragraphs, the most important first. None is empty: Slack would refuse it."""
    failed = [check["name"] for check in data["checks"] if not check["passed"]]
    warnings = data["warnings"]
    texts = (
        data["reason"],
        f"Failed checks: {', '.join(failed)}" if failed else "",
        data["remedy"],
        f"{counted(len(warnings), 'warning')}: {warnings[0]['message']}" if warnings else "",
    )
    yield from (shorten(text, _PARAGRAPH) for text in texts if text)
    if data["reply"] and data["result"] == "succeeded":
        yield shorten(data["reply"], _REPLY)


def _slack(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return an incoming webhook's message. `plain_text` has no markup and no mentions."""
    context = f"<{_slack_escaped(data['link'])}|Open the run>  " if data["link"] else ""
    fields = [f"*{name}*\n{_slack_escaped(shorten(value, 500))}" for name, value in _facts(data)]
    return {
        "text": _slack_escaped(shorten(f"{_sign(data)} {title(data)}: {data['reason']}", 2500)),
        "blocks": [
            {"type": "header", "text": _slack_plain(f"{_sign(data)} {title(data)}", 150)},
            *({"type": "section", "text": _slack_plain(text, 2900)} for text in _paragraphs(data)),
            {"type": "section", "fields": [{"type": "mrkdwn", "text": text} for text in fields]},
            {
                "type": "context",
                "elements": [{"type": "mrkdwn", "text": f"{context}{_slack_escaped(data['run_id'])}"}],
            },
        ],
    }


def _slack_plain(text: str, limit: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": shorten(text, limit), "emoji": False}


def _slack_escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _teams(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return an adaptive card for a workflow's webhook. A TextRun, unlike a TextBlock, has no Markdown."""
    colour = {"succeeded": "good", "skipped": "default"}.get(data["result"], "attention")
    rows = (_teams_text(text) for text in _paragraphs(data))
    facts = " · ".join(f"{name}: {shorten(value, 200)}" for name, value in _facts(data))
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": [
            _teams_text(f"{_sign(data)} {title(data)}", size="large", weight="bolder", color=colour),
            *rows,
            _teams_text(facts, isSubtle=True),
            _teams_text(data["run_id"], isSubtle=True, fontType="monospace"),
        ],
    }
    if data["link"]:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open the run", "url": data["link"]}]
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _teams_text(text: str, **style: Any) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **style}]}


def _ntfy(data: Mapping[str, Any], address: str) -> tuple[str, dict[str, Any]]:
    """Return the server's address and a message that names the topic: headers would allow only ASCII."""
    parts = urlsplit(address)
    folder, _, topic = parts.path.rstrip("/").rpartition("/")
    text = "\n\n".join([*_paragraphs(data), " · ".join(f"{name}: {value}" for name, value in _facts(data))])
    message = {
        "topic": topic,
        "title": shorten(title(data), 200),
        "message": text.encode()[:_NTFY_BYTES].decode(errors="ignore"),
        "tags": {"succeeded": ["white_check_mark"], "skipped": ["next_track_button"]}.get(data["result"], ["x"]),
        "priority": 4 if data["result"] == "failed" else 3,
    }
    if data["link"]:
        message["click"] = data["link"]
    return urlunsplit(parts._replace(path=f"{folder}/")), message
