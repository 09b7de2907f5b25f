"""The audit log that the configuration asks for, if any."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.config import Config
    from codex_runner.domain.ports import Sink


def audit_sinks(config: Config, environ: Mapping[str, str]) -> list[Sink]:
    """Return the audit log as a sink, or nothing. ConfigurationError where it cannot be written."""
    if config.audit.file is None and not config.audit.syslog:
        return []
    import hashlib  # noqa: PLC0415 - only where it is asked for, as what follows

    from codex_runner.sinks.audit import SYSLOG_SOCKET, AuditLog, who  # noqa: PLC0415

    digest = hashlib.sha256(config.path.read_bytes()).hexdigest()
    syslog = SYSLOG_SOCKET if config.audit.syslog else None
    return [AuditLog(config.audit.file, who(environ), config_sha256=digest, syslog=syslog)]
