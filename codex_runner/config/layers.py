"""The three layers of settings, each read into nested tables: the file, the environment, and `--set`."""

from __future__ import annotations

import tomllib
from dataclasses import field
from typing import TYPE_CHECKING, Any

from codex_runner.config import tables
from codex_runner.config.problems import CONFIGURATION, Problem, dotted, origin, unknown_key
from codex_runner.config.retired import RETIRED, current, retired_in
from codex_runner.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from codex_runner.config.retired import Retired
    from codex_runner.config.tables import Node

PREFIX = "CODEX_RUNNER_"
# Variables with our prefix that are not settings: a run sets them for the processes that it starts. A check may call
# codex-runner, which must not take them for misspelt keys.
NOT_SETTINGS = frozenset({"CODEX_RUNNER_MARK", "CODEX_RUNNER_CLAIM_PACE"})


@dataclass(slots=True)
class Layer:
    """Nested tables, and by path the origin of each value, as messages name it."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[tuple[str, ...], str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def put(self, path: tuple[str, ...], value: Any, origin: str) -> None:
        """Set the value at `path`, and make missing tables on the way. Replaces what was there."""
        table = self.values
        for key in path[:-1]:
            below = table.get(key)
            if not isinstance(below, dict):
                below = table[key] = {}
            table = below
        table[path[-1]] = value
        self.origins[path] = origin


def from_file(path: Path, name: str) -> Layer:
    """Read the TOML file, called `name` in messages. A file that cannot be read is its one problem."""
    try:
        values = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        return Layer(problems=[Problem(name, (), f"cannot be read: {error.strerror or error}")])
    except UnicodeDecodeError as error:
        return Layer(problems=[Problem(name, (), f"is not UTF-8 (at byte {error.start})")])
    except ValueError as error:  # TOMLDecodeError, which says line and column, and int's limit of digits
        return Layer(problems=[Problem(name, (), f"is not valid TOML: {error}")])
    except RecursionError:
        return Layer(problems=[Problem(name, (), "is not valid TOML: nested too deeply")])
    return Layer(values, {(): name})


def from_overrides(overrides: Sequence[str], retired: Sequence[Retired] = RETIRED) -> Layer:
    """Parse `KEY=VALUE` overrides. A key is written as in TOML (`jobs."a.b".timeout`); its last value wins."""
    layer = Layer()
    for override in overrides:
        path, text = _split(override)
        if path is None:
            shown = override.partition("=")[0].strip()  # never what follows: it may be a secret
            layer.problems.append(Problem(f"--set {shown}", (), "must be KEY=VALUE, such as jobs.NAME.timeout=10m"))
            continue
        node: Node | None = tables.CONFIG_FILE
        for depth in range(len(path)):
            node = tables.below(node, current(path[: depth + 1], retired))
        value = _toml_value(text)
        if tables.is_text(node) and not isinstance(value, str):
            value = text
        layer.put(path, value, "--set")
    return layer


def from_environment(
    environ: Mapping[str, str], weaker: Layer, stronger: Layer, retired: Sequence[Retired] = RETIRED
) -> Layer:
    """Read `CODEX_RUNNER_*`. Names of jobs and other tables are matched with those of the other layers.

    `__` goes one table down. Case does not matter, and `-`, `.` and `_` are the same: `JOBS__RELEASE_NOTES__TIMEOUT`
    is `jobs.release-notes.timeout`. The environment changes jobs; it never makes one.
    """
    layer = Layer()
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in NOT_SETTINGS:
            continue
        origin = f"environment {name}"
        try:
            path, node = _locate(name.removeprefix(PREFIX), (weaker.values, stronger.values), retired)
        except _NoSuchKeyError as error:
            layer.problems.append(Problem(origin, error.path, error.problem))
            continue
        text = environ[name]
        layer.put(path, text if tables.is_text(node) else _toml_value(text), origin)
    return layer


class _NoSuchKeyError(Exception):
    def __init__(self, path: tuple[str, ...], problem: str) -> None:
        super().__init__(problem)
        self.path = path
        self.problem = problem


def _locate(rest: str, present: Sequence[Any], retired: Sequence[Retired]) -> tuple[tuple[str, ...], Node | None]:
    """Return the path that a variable's name (without its prefix) means, and the node there.

    Raises _NoSuchKeyError if there is no such key, or several.
    """
    node: Node | None = tables.CONFIG_FILE
    path: tuple[str, ...] = ()
    while rest:
        if path[-2:] == ("codex", "env"):
            key, rest = rest, ""  # names of variables are used as written
        else:
            key, rest = _next_key(node, path, rest, present, retired)
        node = tables.below(node, current((*path, key), retired))
        present = [table[key] for table in present if isinstance(table, dict) and key in table]
        path = (*path, key)
    if not path:
        raise _NoSuchKeyError((), "names no key")
    return path, node


def _next_key(
    node: Node | None, path: tuple[str, ...], rest: str, present: Sequence[Any], retired: Sequence[Retired]
) -> tuple[str, str]:
    keys = tables.known_keys(node)
    names = set(keys) if keys is not None else {key for table in present if isinstance(table, dict) for key in table}
    names |= retired_in(path, retired)
    folded = {name: _fold(name) for name in names}
    wanted = _fold(rest)
    fits = [name for name, fold in folded.items() if wanted == fold or wanted.startswith(f"{fold}__")]
    longest = max((len(folded[name]) for name in fits), default=0)
    fits = sorted(name for name in fits if len(folded[name]) == longest)
    if len(fits) > 1:
        raise _NoSuchKeyError(path, f"is ambiguous: {' or '.join(dotted((*path, name)) for name in fits)}; use --set")
    if fits:
        return fits[0], rest[longest:].removeprefix("__")
    head, _, tail = rest.partition("__")
    if _is_free(node, path):
        return head.lower(), tail
    raise _NoSuchKeyError((*path, head.lower()), unknown_key(head.lower(), names, path))


def _is_free(node: Node | None, path: tuple[str, ...]) -> bool:
    """Whether any key may be made here: in codex's own settings, and a host."""
    return path == ("hosts",) or (tables.known_keys(node) is None and tables.below(node, "any") is tables.ANYTHING)


def _fold(name: str) -> str:
    return name.lower().replace("-", "_").replace(".", "_")


def _split(override: str) -> tuple[tuple[str, ...] | None, str]:
    """Split at the first `=` that follows a whole TOML key: a quoted key may contain `=`."""
    for at, character in enumerate(override):
        if character == "=" and (path := _toml_key(override[:at])):
            return path, override[at + 1 :].strip()
    return None, ""


def _toml_key(text: str) -> tuple[str, ...] | None:
    try:
        table: Any = tomllib.loads(f"{text} = 0")
    except (ValueError, RecursionError):
        return None
    path: list[str] = []
    while isinstance(table, dict):
        if len(table) != 1:
            return None
        ((key, table),) = table.items()
        path.append(key)
    return tuple(path)


def _toml_value(text: str) -> Any:
    """Parse a TOML value. Returns the text itself if it is not TOML, so that `10m` needs no quotes."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return table["value"] if table.keys() == {"value"} else text


def replace_retired(layer: Layer, retired: Sequence[Retired]) -> list[str]:
    """Move the value of each retired key to its successor. Returns a warning for each.

    Both in one table of one layer are a contradiction, which becomes a problem of the layer.
    """
    warnings = []
    for one in retired:
        for path, table in _tables_at(layer.values, one.path[:-1]):
            key = (*path, one.path[-1])
            if key[-1] not in table:
                continue
            value, told = table.pop(key[-1]), origin(key, [layer.origins])
            if one.successor in table:
                said = f"has been replaced by `{one.successor}`, which is given too; leave the old one out"
                layer.problems.append(Problem(told, key, said))
                continue
            table[one.successor] = value
            layer.origins |= {
                (*path, one.successor, *given[len(key) :]): name
                for given, name in layer.origins.items()
                if given[: len(key)] == key
            }
            said = f"`{one.successor}` has replaced it. From version {one.removal} on, it is refused. Rename it."
            warnings.append(str(Problem(told, key, said)))
    return warnings


def _tables_at(values: Mapping[str, Any], path: Sequence[str]) -> Iterable[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield the tables at `path`, in which `*` stands for any name, with the path of each."""
    found: list[tuple[tuple[str, ...], Any]] = [((), values)]
    for part in path:
        names = [(at, table, table if part == "*" else {part}) for at, table in found if isinstance(table, dict)]
        found = [((*at, name), table[name]) for at, table, wanted in names for name in wanted if name in table]
    return ((at, table) for at, table in found if isinstance(table, dict))


def keep_one_prompt(layers: Sequence[Layer]) -> None:
    """Let a stronger layer's `prompt` replace a weaker one's `prompt_file`, and the reverse. The strongest is first.

    Both in one table of one layer are a contradiction, which becomes a problem of the layer.
    """
    pair = ("prompt", "prompt_file")
    decided: set[tuple[str, ...]] = set()
    for layer in layers:
        for path, table in _job_tables(layer.values):
            given = [key for key in pair if key in table]
            if path in decided:
                for key in given:
                    del table[key]
                continue
            if given:
                decided.add(path)
            if len(given) == len(pair):
                origin = layer.origins.get((*path, given[1])) or layer.origins.get((), CONFIGURATION)
                layer.problems.append(Problem(origin, path, "has both `prompt` and `prompt_file`; keep one of them"))


def keep_one_login(layers: Sequence[Layer]) -> None:
    """Let a stronger layer's `vault.auth.method` replace a weaker `vault.auth` whole. The strongest is first.

    The keys of one method mean nothing to another.
    """
    chosen: object = None
    for layer in layers:
        vault = layer.values.get("vault")
        auth = vault.get("auth") if isinstance(vault, dict) else None
        if not isinstance(auth, dict):
            continue
        if chosen is not None and "method" in auth and auth["method"] != chosen:
            del layer.values["vault"]["auth"]
        chosen = chosen or auth.get("method")


def refuse_trusted_forks(file: Layer) -> None:
    """Refuse `trusted_forks` in the file: a fork's pull request may have changed it. Adds a problem to the layer."""
    for path, table in _job_tables(file.values):
        if "trusted_forks" in table:
            key = (*path, "trusted_forks")
            told = f"must not be in the file, which a fork can change; give --set '{dotted(key)}=[...]' in the pipeline"
            file.problems.append(Problem(file.origins[()], key, told))


def _job_tables(values: Mapping[str, Any]) -> Iterable[tuple[tuple[str, ...], dict[str, Any]]]:
    jobs = values.get("jobs")
    if isinstance(jobs, dict):
        yield from ((("jobs", name), table) for name, table in jobs.items() if isinstance(table, dict))
    if isinstance(defaults := values.get("defaults"), dict):
        yield ("defaults",), defaults
