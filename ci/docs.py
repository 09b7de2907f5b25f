"""Writes what the docs take from the code, so that it cannot drift: all between `<!-- begin X -->` and
`<!-- end X -->`.

`ci/docs` writes it, `ci/docs --check` only says what would change (a test does the same), and `ci/docs --picture` draws
docs/demo.svg from a demo that is run for it.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import io
import os
import re
import subprocess
import sys
import tempfile
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.text import Text

from codex_runner.cli.main import command_line
from codex_runner.codex.classes import NARROWER, ROWS
from codex_runner.codex.refusal_kinds import REFUSALS, SANDBOX_FAILED
from codex_runner.codex.versions import VERSIONS, Standing
from codex_runner.config.problems import dotted
from codex_runner.config.retired import RETIRED
from codex_runner.domain import event as ev
from codex_runner.domain.delivery import ByHand, CommitWay, Delivered, DeliveryState, ForgeKind
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.failure import Failure
from codex_runner.domain.run import Ending, ProcessExit, StopReason, Sweep, Usage
from codex_runner.reports.outcome import blame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOP = Path(__file__).parent.parent

# Each document with generated parts, and the parts.
PLACES = {
    "README.md": ("commands", "exit-codes-short"),
    "docs/cli.md": ("cli",),
    "docs/compatibility.md": ("retired", "codex-versions"),
    "docs/events.md": ("events", "items", "values"),
    "docs/exit-codes.md": ("exit-codes",),
    "docs/failures.md": ("failures", "messages", "refusals", "stops"),
}


# --- tables ----------------------------------------------------------------------------------------------------------


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def first_paragraph(text: str | None) -> str:
    return " ".join((text or "").strip().split("\n\n")[0].split())


def in_json(docstring: str | None) -> str:
    """Return a docstring on one line, in the words of JSON."""
    return re.sub(r"\bNone\b", "null", " ".join((docstring or "").split()))


def exit_codes_short() -> str:
    return table(("Code", "Meaning"), [(str(int(code)), code.meaning) for code in ExitCode])


def exit_codes() -> str:
    rows = []
    for code in ExitCode:
        word, element = ("succeeded", "") if code == 0 else (code.name.lower().replace("_", "-"), blame(code).value)
        rows.append((str(int(code)), f"`{word}`", code.meaning, f"`{element}`" if element else ""))
    return table(("Code", "Name", "Meaning", "In JUnit"), rows)


def failures() -> str:
    return table(
        ("Class", "Meaning", "Exit code", "Could another try help?", "What to do"),
        [(f"`{f.value}`", f.meaning, str(int(f.exit_code)), "yes" if f.retried else "no", f.remedy) for f in Failure],
    )


def messages() -> str:
    rows = []
    for row in ROWS:
        failure = row.failure
        general = [f"`{wide.value}`" for wide, narrow in NARROWER.items() if failure in narrow]
        beside = f"<br>also beside a status or code of {' or '.join(general)}" if general else ""
        codes = ", ".join(f"`{code}`" for code in row.codes)
        rows.append(
            (
                f"`{failure.value}`",
                statuses(row.statuses),
                codes,
                (f"`{row.words}`" if row.words else "") + beside,
                str(int(failure.exit_code)),
                "yes" if failure.retried else "no",
            )
        )
    return table(
        ("Class", "HTTP status", "`code` or `type`", "Words (a regular expression)", "Exit code", "Retried"), rows
    )


def statuses(numbers: tuple[int, ...]) -> str:
    hundreds = {number // 100 for number in numbers if all(100 * (number // 100) + n in numbers for n in range(100))}
    single = [str(number) for number in numbers if number // 100 not in hundreds]
    return ", ".join([*single, *(f"{hundred}xx" for hundred in sorted(hundreds))])


def refusals() -> str:
    return table(
        ("Warning", "Meaning", "Words"),
        [(f"`{one.code}`", one.meaning, f"`{one.words.pattern}`") for one in (*REFUSALS, SANDBOX_FAILED)],
    )


def codex_versions() -> str:
    oldest, newest = VERSIONS.oldest.version, VERSIONS.newest.version
    tested = " and ".join(f"{each.version} ({each.index}: `{each.package}`)" for each in VERSIONS.tested)
    rows = [
        (f"older than {oldest}", Standing.TOO_OLD.value, "refused", VERSIONS.judge("0.0.0").remedy),
        (f"{oldest} to {newest}", Standing.SUPPORTED.value, f"taken; the tests run {tested}", ""),
        (f"newer than {newest}", Standing.UNTESTED.value, "taken; `doctor` warns", VERSIONS.judge("999.0.0").remedy),
    ]
    for bad in VERSIONS.bad:
        span = bad.first if bad.first == bad.last else f"{bad.first} to {bad.last}"
        rows.append((span, Standing.BAD.value, f"refused: {bad.reason}", bad.remedy))
    told = table(("Version", "Standing", "What a run does", "What to do"), rows)
    return told if VERSIONS.bad else f"{told}\n\nNo version from {oldest} on is known to be bad."


def retired() -> str:
    rows = [(f"`{dotted(one.path)}`", f"`{one.successor}`", one.since, one.removal) for one in RETIRED]
    return table(("Key", "Successor", "Warns since", "Refused from"), rows) if rows else "Nothing is deprecated now."


def stops() -> str:
    return ", ".join(f"`{reason.value}`" for reason in StopReason) + "."


# --- events ----------------------------------------------------------------------------------------------------------

VALUES = (Usage, Ending, ProcessExit, ev.FileEdit, ev.Todo, Delivered, ByHand)
SIMPLE: dict[Any, str] = {
    str: "string",
    int: "whole number",
    float: "number",
    bool: "boolean",
    typing.Any: "anything",
    ev.Item: "[item](#items)",
    Failure: "[class of failure](failures.md)",
    StopReason: "[stop reason](failures.md#why-an-agent-was-ended)",
    Sweep: ", ".join(f"`{sweep.value}`" for sweep in Sweep),
    DeliveryState: "[state of a delivery](delivery.md#states)",
    CommitWay: ", ".join(f"`{way.value}`" for way in CommitWay),
    ForgeKind: ", ".join(f"`{kind.value}`" for kind in ForgeKind),
}


def in_words(hint: Any) -> str:
    """Say a type in the words of JSON."""
    if hint in SIMPLE:
        return SIMPLE[hint]
    if hint in VALUES:
        return f"[{hint.__name__}](#values)"
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        return " or ".join("null" if part is types.NoneType else in_words(part) for part in arguments)
    if origin is tuple:
        return f"array of {in_words(arguments[0])}"
    if origin is dict:
        return "object"
    raise TypeError(hint)


def fields(cls: type) -> str:
    hints = typing.get_type_hints(cls)
    return "<br>".join(f"`{f.name}`: {in_words(hints[f.name])}" for f in dataclasses.fields(cls))


def kinds(known: dict[str, Any]) -> str:
    return table(
        ("`kind`", "Meaning", "Fields"),
        [(f"`{kind}`", in_json(cls.__doc__), fields(cls)) for kind, cls in known.items()],
    )


def values() -> str:
    return table(
        ("Value", "Meaning", "Fields"),
        [(cls.__name__, in_json(cls.__doc__), fields(cls)) for cls in VALUES],
    )


# --- the command line ------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Parameter:
    """An argument (`names` is empty) or an option of a command."""

    names: tuple[str, ...]
    word: str
    help: str
    default: str
    required: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    name: str
    help: str
    parameters: tuple[Parameter, ...]


def all_commands(group: typer.Typer | None = None, prefix: str = "codex-runner") -> Iterator[Command]:
    """Yield every command that is not hidden, in the order in which `--help` shows them."""
    group = group or command_line()
    for info in group.registered_commands:
        if info.callback is not None and not info.hidden:
            name = info.name or info.callback.__name__.replace("_", "-")
            text = info.help or inspect.getdoc(info.callback) or ""
            yield Command(f"{prefix} {name}", text, tuple(parameters(info.callback)))
    for below in group.registered_groups:
        if below.typer_instance is not None and not below.hidden:
            name = below.name or below.typer_instance.info.name
            yield from all_commands(below.typer_instance, f"{prefix} {name}")


def parameters(callback: Callable[..., Any]) -> Iterator[Parameter]:
    hints = typing.get_type_hints(callback, include_extras=True)
    for name, parameter in inspect.signature(callback).parameters.items():
        annotated = hints[name]
        kind, info = typing.get_args(annotated)[0], annotated.__metadata__[0]
        if info.hidden:
            continue
        required = parameter.default is inspect.Parameter.empty
        shown = "" if required or parameter.default in {None, False, ()} else parameter.default
        default = f"`{getattr(shown, 'value', shown)}`" if shown != "" else ""
        names: tuple[str, ...] = ()
        if isinstance(info, typer.models.OptionInfo):
            # In Annotated, typer keeps the first name where a default would stand.
            first = (info.default,) if isinstance(info.default, str) else ()
            names = (*first, *(info.param_decls or ())) or (f"--{name.replace('_', '-')}",)
        word = info.metavar or (type_word(kind) if names else name.upper())
        yield Parameter(names, word, info.help or "", default, required)


def type_word(kind: Any) -> str:
    kinds = [part for part in typing.get_args(kind) or (kind,) if part is not types.NoneType]
    if typing.get_origin(kinds[0]) is list or kinds[0] is list:
        return type_word(typing.get_args(kinds[0])[0])
    if isinstance(kinds[0], type) and issubclass(kinds[0], enum.Enum):
        return "|".join(str(each.value) for each in kinds[0])
    return {str: "TEXT", int: "N", float: "N", Path: "PATH", bool: ""}[kinds[0]]


def anchor(heading: str) -> str:
    """Return the fragment that GitHub gives a heading."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def commands() -> str:
    return table(
        ("Command", "What it does"),
        [(f"[`{each.name}`](docs/cli.md#{anchor(each.name)})", first_paragraph(each.help)) for each in all_commands()],
    )


def cli() -> str:
    return "\n\n".join(one_command(command) for command in all_commands())


def one_command(command: Command) -> str:
    arguments = [each for each in command.parameters if not each.names]
    options = [each for each in command.parameters if each.names]
    paragraphs = [" ".join(paragraph.split()) for paragraph in command.help.strip().split("\n\n")]
    # A paragraph that begins with "Example:" is one to type.
    told = [re.sub(r"^Example: (.*)$", r"Example: `\1`", paragraph) for paragraph in paragraphs]
    usage = " ".join([command.name, *(_bracketed(each) for each in arguments), *(["[OPTIONS]"] if options else [])])
    rows = [(f"`{_bracketed(each)}`", each.help, each.default) for each in arguments]
    for each in options:
        names = ", ".join(f"`{name}`" for name in each.names)
        rows.append((f"{names} `{each.word}`" if each.word else names, each.help, each.default))
    listed = [table(("Argument or option", "Meaning", "Default"), rows)] if rows else []
    return "\n\n".join([f"## {command.name}", *told, f"```text\n{usage}\n```", *listed])


def _bracketed(argument: Parameter) -> str:
    optional = not argument.required and not argument.word.startswith("[")
    return f"[{argument.word}]" if optional else argument.word


# --- the picture -----------------------------------------------------------------------------------------------------

_COLUMNS = 112

# As rich's, but without the web fonts: a picture that asks no other server for anything.
_SVG = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, monospace; font-size: {char_height}px;
line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def picture() -> None:
    """Run the demo and draw what it says on a terminal, without the paths at its end."""
    environ = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "CI", "GITHUB_ACTIONS"}}
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            ["codex-runner", "demo", "-o", scratch, "--log-format", "text"],
            env={**environ, "FORCE_COLOR": "1"},
            check=True,
            stderr=subprocess.PIPE,
        )
    console = Console(record=True, width=_COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ ci/demo", style="bold"))
    for line in done.stderr.decode().splitlines():
        if "done in" in line:
            break
        text = Text.from_ansi(line)
        if line.startswith("demo: "):
            text.stylize("bold cyan")
        text.truncate(_COLUMNS, overflow="ellipsis")
        console.print(text, no_wrap=True, highlight=False)
    drawn = console.export_svg(title="codex-runner", code_format=_SVG, unique_id="demo")
    (TOP / "docs/demo.svg").write_text(drawn, encoding="utf-8")


# --- into the documents ----------------------------------------------------------------------------------------------


def part(name: str) -> str:
    """Write the generated part of that name."""
    if name == "events":
        return kinds(ev.EVENT_KINDS)
    if name == "items":
        return kinds(ev.ITEM_KINDS)
    writers = (
        cli,
        codex_versions,
        commands,
        exit_codes,
        exit_codes_short,
        failures,
        messages,
        refusals,
        retired,
        stops,
        values,
    )
    return {writer.__name__.replace("_", "-"): writer for writer in writers}[name]()


def filled(document: str) -> str:
    """Return a document's text with its generated parts anew. ValueError where their marks are not there."""
    text = (TOP / document).read_text(encoding="utf-8")
    for name in PLACES[document]:
        begin, end = f"<!-- begin {name} -->\n", f"\n<!-- end {name} -->"
        before, found, rest = text.partition(begin)
        _, found_end, after = rest.partition(end)
        if not (found and found_end):
            raise ValueError(f"{document} has no marks for {name}")
        text = f"{before}{begin}\n{part(name)}\n{end}{after}"
    return text


def main(arguments: list[str]) -> int:
    if arguments == ["--picture"]:
        picture()
        return 0
    stale = [document for document in PLACES if filled(document) != (TOP / document).read_text(encoding="utf-8")]
    for document in stale:
        if arguments != ["--check"]:
            (TOP / document).write_text(filled(document), encoding="utf-8")
        print(f"{document}: {'out of date; run ci/docs' if arguments == ['--check'] else 'written'}")
    return 1 if stale and arguments == ["--check"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
