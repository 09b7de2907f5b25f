"""The ledger: the spending of each workflow on each UTC day, over all runs that share one file."""

from __future__ import annotations

from codex_runner.ledger.sqlite import Ledger, LedgerError, WorkflowAccount

__all__ = ["Ledger", "LedgerError", "WorkflowAccount"]
