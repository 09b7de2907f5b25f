"""Audit a run by its folder alone: what its records prove, what its files hold, and a signed statement of both."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from codex_runner.app.folders import find_run
from codex_runner.app.history import is_live
from codex_runner.app.secret_places import secret_names_of
from codex_runner.audit.document import Audit
from codex_runner.audit.files import changed_blobs, file_facts
from codex_runner.audit.sections import sections
from codex_runner.audit.signing_key import SigningKey, require_library
from codex_runner.audit.statement import envelope, statement
from codex_runner.audit.trail import Trail
from codex_runner.domain.credential import AUDIT_KEY
from codex_runner.domain.errors import ConfigurationError, UsageError
from codex_runner.domain.folder import RunFolder
from codex_runner.domain.secret import Secret
from codex_runner.domain.secret_names import environment_secrets
from codex_runner.engine.secret_reading import SecretReader
from codex_runner.redaction.redactor import Redactor
from codex_runner.reports.run_json import run_document
from codex_runner.sinks.jsonl import read_records

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from codex_runner.config import Config
    from codex_runner.engine.bounded import StopFlag

_WHAT: Final = "the key of audits"


def folder_of(output_dir: Callable[[], Path], run: str) -> RunFolder:
    """Return the folder of a run: by its id, `last`, or a path, which has a separator in it.

    Raises UsageError if there is no run.
    """
    if os.sep not in run and run not in {os.curdir, os.pardir}:
        return find_run(output_dir(), run)
    folder = RunFolder(Path(run).absolute())
    if not folder.events.is_file():
        raise UsageError(f"{folder.path} holds no run: there is no events.jsonl.", remedy="Name the folder of one run.")
    return folder


def audit_run(folder: RunFolder) -> Audit:
    """Read a run's records and files, and return the audit. Changes nothing.

    Raises UsageError if the records are not those of a run: they are another program's, or made up.
    """
    trail = Trail(read_records(folder.events))
    try:
        documents = (run_document(trail.state), run_document(trail.settled))
        files, found = file_facts(folder, trail, documents), sections(trail)
        found["touched"]["blobs"] = changed_blobs(folder, files)
        return Audit(trail.state.run_id, found, files)
    except (TypeError, ValueError, AttributeError, KeyError, OverflowError, RecursionError):
        raise UsageError(
            f"{folder.events} holds records with values that no runner writes.",
            remedy="Compare it with the copy that the pipeline has kept.",
        ) from None


def masks_of(config: Config | None, environ: Mapping[str, str]) -> Redactor:
    """Return the redactor for an audit: it knows the secrets of this environment, and the shapes of all tokens."""
    named = secret_names_of(config) if config is not None else ()
    known = [Secret(name, value) for name, value in environment_secrets(environ)]
    return Redactor([*known, *(Secret(name, environ[name]) for name in sorted(named) if environ.get(name))])


def read_key(
    config: Config | None,
    environ: Mapping[str, str],
    interruption: Callable[[], AbstractContextManager[StopFlag]],
    *,
    learn: Callable[[Secret], None],
    tell: Callable[[str], None],
) -> SigningKey:
    """Return the key that `[audit]` names. `learn` gets it before it is used, `tell` a line of progress.

    Raises ConfigurationError if there is none or if it cannot sign, and CredentialError if it cannot be read.
    """
    wanted = config.audit if config is not None else None
    if config is None or wanted is None or not wanted.has_key:
        raise ConfigurationError(
            "No key signs audits: the configuration names none.",
            remedy="Set `key_file`, `key_variable` or `key_vault` in [audit].",
        )
    require_library()  # before the key is asked for
    reader = SecretReader(environ, learn, lambda _, sentence: tell(f"warning: {sentence}"), ConfigurationError)
    if wanted.key_file is not None:
        secret = reader.file(wanted.key_file, AUDIT_KEY, _WHAT, word=False, lines=True, private=True)
        return SigningKey(secret, f"{wanted.key_file} (audit.key_file)")
    if wanted.key_variable is not None:
        remedy = "Set it to the private key in PEM."
        secret = reader.variable(wanted.key_variable, _WHAT, remedy, mask=AUDIT_KEY, word=False, lines=True)
        return SigningKey(secret, f"The variable {wanted.key_variable} (audit.key_variable)")
    from codex_runner.vault.signing_key import read_signing_key

    place = wanted.key_vault
    if place is None:  # has_key says that one of the three is there
        raise AssertionError(wanted)
    secret = read_signing_key(place, config.vault, environ, interruption(), on_retry=tell, learn=learn)
    return SigningKey(secret, f"{place.mount}/{place.path} (audit.key_vault)")


def signed(audit: Audit, folder: RunFolder, document: dict[str, Any], key: SigningKey) -> dict[str, Any]:
    """Return the signed statement of an audit. Raises UsageError if the run is not whole: that is never signed."""
    if audit.problems:
        raise UsageError(
            "No statement is signed: the run's files are not what the run has left.",
            remedy="Look at the problems that the audit names.",
        )
    if is_live(folder):
        raise UsageError("No statement is signed: a runner writes this run now.", remedy="Wait for its end.")
    return envelope(statement(audit, document), key)
