"""JSON Schema validation of a run's reply. codex asks the model to follow the schema, but does not check the reply.

The library is loaded with the first schema. `$schema` names the draft, 3 to 2020-12; the default is 2020-12. A `$ref`
stays within the schema: nothing is ever fetched. `format` is checked if the library can do so by itself.

A separate process judges the reply. A `pattern` that backtracks (`^(a+)+$`) can block a process so that Python handles
no signal: only a kill ends it, and that must not hit the runner.
"""

from __future__ import annotations

import asyncio
import json
import math
import signal
import sys
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.surroundings import for_git
from codex_runner.shell.child import start_child
from codex_runner.text.clean import escape_unprintable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jsonschema.exceptions import ValidationError

_SHOWN = 20  # problems
_LONGEST = 300  # characters of one
_FENCE = "```"
_PACKAGE = str(Path(__file__).absolute().parents[1])
# Load the package from the same folder as this process, by its path: the folder around it may be the agent's.
_PROGRAM = """# codex_runner.checks.reply_schema
import sys
from importlib.util import module_from_spec, spec_from_file_location
where, sys.path[:] = sys.argv[1], sys.argv[2:]
found = spec_from_file_location("codex_runner", f"{where}/__init__.py", submodule_search_locations=[where])
sys.modules["codex_runner"] = package = module_from_spec(found)
found.loader.exec_module(package)
from codex_runner.checks.reply_schema import answer
answer()
"""


class JsonSchema:
    """A valid schema. `problems` and `judge` say what is wrong with a reply. Stateless."""

    def __init__(self, text: str, environ: Mapping[str, str] = MappingProxyType({})) -> None:
        """Parse the schema. Raises ConfigurationError if it is invalid, or if a `$ref` has no target in it.

        `environ` is the environment of the process that judges a reply, less what may hold a secret.
        """
        self._text, self._environ = text, environ
        self._validator = _validator(_schema(text))

    async def judge(self, reply: str, *, timeout: float) -> list[str] | None:
        """Run `problems` in a separate process. Returns None if it takes longer than `timeout` seconds.

        That process ends with the call, however the call ends. If the runner is killed, it ends soon after `timeout`.
        """
        request = json.dumps({"schema": self._text, "reply": reply, "seconds": timeout}).encode()
        process = await start_child(
            sys.executable,
            "-I",  # import nothing from the current folder, which is the agent's, nor from PYTHONPATH
            "-c",
            _PROGRAM,
            _PACKAGE,
            *filter(None, sys.path),
            env=for_git(self._environ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # a terminal's Ctrl-C is for the runner
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(request), timeout)
        except TimeoutError:
            return None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        try:
            return [str(problem) for problem in json.loads(output)]
        except (ValueError, TypeError):
            return [f"The reply was not judged: the process that judges it ended with {process.returncode}."]

    def problems(self, reply: str) -> list[str]:
        """Return a sentence for each problem, with a JSON pointer to its place. Returns [] if the reply is valid.

        The reply must be JSON and nothing else. A fenced block is a problem and is not unwrapped: the program that
        reads the reply next would fail on it. Sentences may quote the reply.
        """
        try:
            value = _read(reply)
        except _NotJsonError as error:
            return [str(error)]
        try:
            found = sorted(self._validator.iter_errors(value), key=lambda error: [str(part) for part in error.path])
        except RecursionError:
            return ["The reply is nested too deeply to be checked."]
        told = [_sentence(error) for error in found[:_SHOWN]]
        return told if len(found) <= _SHOWN else [*told, f"... and {len(found) - _SHOWN} more problems."]


class _NotJsonError(ValueError):
    """The text is not one JSON value."""


def _read(text: str) -> Any:
    """Parse JSON as strictly as the strictest reader after us: no NaN, no duplicate keys."""
    stripped = text.strip()
    if not stripped:
        raise _NotJsonError("The reply is empty, but the schema requires JSON.")
    if stripped.startswith(_FENCE):
        raise _NotJsonError(
            "The reply is wrapped in a Markdown code fence (```), which is not JSON: it must be JSON alone."
        )
    try:
        return json.loads(stripped, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        hint = "" if _FENCE not in stripped else " It seems to have JSON in a Markdown code fence among other words."
        raise _NotJsonError(f"The reply is not JSON: {error.msg} at {where}.{hint}") from None
    except RecursionError:
        raise _NotJsonError("The reply is nested too deeply to be read.") from None
    except ValueError as error:
        raise _NotJsonError(f"The reply is not JSON: {error}.") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _NotJsonError(f"The reply has the key {_cut(twice)!r} twice in one object.")
    return found


def _no_constant(name: str) -> Any:
    raise _NotJsonError(f"The reply is not JSON: it has {name}, which JSON does not know.")


def _schema(text: str) -> Any:
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"The output schema is not JSON: {error}.") from None
    if not isinstance(schema, dict | bool):
        raise ConfigurationError(
            f"The output schema is a JSON {type(schema).__name__}.", remedy="Make the schema a JSON object."
        )
    return schema


def _validator(schema: Any) -> Any:
    from jsonschema import validators
    from jsonschema.exceptions import SchemaError
    from referencing.jsonschema import EMPTY_REGISTRY

    named = schema.get("$schema") if isinstance(schema, dict) else None
    unnamed: Any = validators.Draft202012Validator if named is None else None
    kind = validators.validator_for(schema, default=unnamed)
    if kind is None:
        raise ConfigurationError(
            f"The output schema names an unknown draft of JSON Schema: {named!r}.",
            remedy="Use `https://json-schema.org/draft/2020-12/schema`, or leave `$schema` out.",
        )
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise ConfigurationError(
            f"The output schema is wrong at {_pointer(error.path)}: {_cut(error.message)}.",
            remedy="Correct the schema.",
        ) from None
    # Our own registry: the library's default one fetches what it does not know.
    validator = kind(schema, registry=EMPTY_REGISTRY, format_checker=kind.FORMAT_CHECKER)
    _check_references(schema, validator)
    return validator


def _check_references(schema: Any, validator: Any) -> None:
    from referencing.exceptions import Unresolvable

    names = list(_strings(schema, "$id", "id"))
    resolver = validator._resolver  # noqa: SLF001 - the only way to the resolver that validation will use
    for reference in _strings(schema, "$ref", "$dynamicRef"):
        if reference.startswith("#") and len(names) > 1:
            continue  # relative to the `$id` that encloses it: validation will resolve it
        try:
            resolver.lookup(reference)
        except (Unresolvable, ValueError, KeyError):
            raise ConfigurationError(
                f"The output schema refers to {_cut(reference)!r}, which is not in it.",
                remedy="Put the schema that it refers to under `$defs`: only references within the schema work.",
            ) from None


def _strings(schema: Any, *keywords: str) -> Iterator[str]:
    """Yield the text values of these keywords, anywhere but inside data (const, enum, default, examples)."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key in keywords and isinstance(value, str):
                yield value
            elif key not in ("const", "enum", "default", "examples"):
                yield from _strings(value, *keywords)
    elif isinstance(schema, list):
        for value in schema:
            yield from _strings(value, *keywords)


def _sentence(error: ValidationError) -> str:
    said = f"At {_pointer(error.absolute_path)}: {_cut(error.message)}"
    if error.context:
        from jsonschema.exceptions import best_match

        nearest = best_match(iter([error]))
        if nearest is not None and nearest is not error:
            said += f" (nearest: at {_pointer(nearest.absolute_path)}: {_cut(nearest.message)})"
    return said + "."


def _pointer(path: Sequence[str | int] | Any) -> str:
    """Return a JSON pointer (RFC 6901). For the whole value, whose pointer is empty, return `the top`."""
    parts = [str(part).replace("~", "~0").replace("/", "~1") for part in path]
    return "".join(f"/{_cut(part)}" for part in parts) or "the top"


def _cut(text: str) -> str:
    text = escape_unprintable(text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} [...] {text[-_LONGEST // 3 :]}"


def answer() -> None:
    """Judge one reply: read a JSON object with `schema`, `reply` and `seconds` from stdin; print a JSON array."""
    request = json.load(sys.stdin)
    # If the runner is gone, the kernel's alarm ends this process.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # noqa: TID251 - in a process of its own
    signal.alarm(math.ceil(request["seconds"]) + 1)
    json.dump(JsonSchema(request["schema"]).problems(request["reply"]), sys.stdout)  # noqa: TID251 - as above
