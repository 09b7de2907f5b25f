"""The detector: which CI system runs this process, and what it knows of the pipeline."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Final

from codex_runner.ci_systems.system import Origin
from codex_runner.ci_systems.systems import SYSTEMS
from codex_runner.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from codex_runner.ci_systems.identity import IdentityEndpoint, IdentityVariable
    from codex_runner.ci_systems.system import CiSystem
    from codex_runner.engine.proposal import Proposal
    from codex_runner.engine.trust import Trigger

_ANY: Final = "CI"  # set by nearly every system, and by people
_PERSON: Final = Origin(actor=("USER", "LOGNAME"))
_LONGEST: Final = 500  # characters of a name


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What the environment of this process says of its pipeline. Nothing is read before a method is called.

    Only `system` answers what decides about trust. Names and places come from the first system that has them:
    containers and wrappers pass on only a part of a system's variables.
    """

    environ: Mapping[str, str]
    systems: Sequence[CiSystem] = SYSTEMS

    @property
    def system(self) -> CiSystem | None:
        """The system whose job this is. None outside of any."""
        return next((each for each in self.systems if each.is_here(self.environ)), None)

    def occasion(self) -> Trigger | None:
        """Return what started the pipeline. Returns None if no system can tell."""
        system = self.system
        return None if system is None else system.occasion(self.environ)

    def proposal(self) -> Proposal | None:
        """Return the pull or merge request that the pipeline works on. Returns None outside of any."""
        system = self.system
        return None if system is None else system.proposal(self.environ)

    def repository(self) -> str:
        """Return `<owner>/<repo>` as the system has it. Returns "" if none does."""
        return self._first(lambda system: system.repository(self.environ))

    def forge(self) -> tuple[str, str]:
        """Return the kind of the pipeline's forge, and its API. Returns two empty texts if no system has one.

        The kind alone is empty if the runner does not speak the API.
        """
        found = ((system.forge, system.forge_api(self.environ).rstrip("/")) for system in self.systems)
        return next(((kind, api) for kind, api in found if api), ("", ""))

    def gave(self, token: str) -> bool:
        """Whether the pipeline's forge gave this token to the job alone, and not for its whole API."""
        names = (system.forge_token for system in self.systems if system.forge_token)
        return any(self.environ.get(name) == token for name in names)

    def link(self) -> str:
        """Return the address of the job's page. Returns "" if there is none, or if it is not http(s)."""
        link = self._first(lambda system: system.link(self.environ))
        return link if link.startswith(("https://", "http://")) else ""

    def checkout(self) -> str:
        """Return the folder that annotations' paths are relative to. Returns "" if only git can tell."""
        return self._first(lambda system: system.checkout(self.environ))

    def summary_file(self) -> str:
        """Return the path of the file whose Markdown is shown beside the job. Returns "" if there is none."""
        return self._first(lambda system: self.environ.get(system.summary_variable, ""))

    def without_summary(self) -> dict[str, str]:
        """Return the environment without the summary file, for a run that is not the pipeline's."""
        names = {system.summary_variable for system in self.systems}
        return {name: value for name, value in self.environ.items() if name not in names}

    def is_disposable(self) -> bool:
        """Whether the CI system throws the machine away after the job."""
        return any(system.is_disposable(self.environ) for system in self.systems)

    def origin(self) -> dict[str, str | None]:
        """Return who asked for the run and why, for the audit log. Outside of a CI system, that is the user.

        The environment is the runner's own. If others can set it, trust the signed claims in Vault's audit log instead.
        """
        tables = [*(system.origin for system in self.systems), _PERSON]
        found: dict[str, str | None] = {}
        for field in fields(Origin):
            names = [name for table in tables for name in getattr(table, field.name)]
            value = next((self.environ[name] for name in names if self.environ.get(name)), None)
            found[field.name] = value if value is None else value[:_LONGEST]
        return found

    def log_formats(self) -> tuple[str, ...]:
        """Return the values of `--log-format` that the log understands, the best first. Empty outside a CI system."""
        return tuple(system.log_format for system in self.systems if system.log_format and system.is_here(self.environ))

    def wants_details(self) -> bool:
        """Whether a person asked the CI system for a run with debug logging."""
        return any(system.wants_details(self.environ) for system in self.systems)

    def keeps_terminal(self) -> bool:
        """Whether a terminal here may be a CI system's, which keeps what is written to it as a log."""
        return bool(self.environ.get(_ANY))

    def may_be_read(self) -> bool:
        """Whether a CI system may take a printed line for a command. True if in doubt."""
        said = self.environ.get(_ANY) not in {None, "", "false"}
        return said or any(system.may_read(self.environ) for system in self.systems)

    def line_prefix(self) -> str:
        """Return the prefix for each line of foreign text in this log."""
        system = self.system
        return "" if system is None else system.line_prefix

    def identity(self) -> IdentityVariable | IdentityEndpoint | None:
        """Return the source of this job's identity token. Returns None if there is none."""
        offers = (system.identity(self.environ) for system in self.systems)
        return next((offer for offer in offers if offer is not None), None)

    def identity_remedy(self, audience: str) -> str:
        """Return the remedy that gives this job an identity token. Returns "" if none is known."""
        return self._first(lambda system: system.identity_remedy(self.environ, audience))

    def _first(self, ask: Callable[[CiSystem], str]) -> str:
        return next((answer for system in self.systems if (answer := ask(system))), "")
