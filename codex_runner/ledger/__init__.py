"""The ledger: what each workflow has spent, a UTC day, over all runs that share one file."""

from __future__ import annotations

from codex_runner.ledger.sqlite import BudgetSpentError, Ledger, LedgerError, Spent

__all__ = ["BudgetSpentError", "Ledger", "LedgerError", "Spent"]
