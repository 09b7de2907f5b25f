"""Delivers a run's changes to a forge, or to a plain git remote: one branch and one pull request a workflow."""
