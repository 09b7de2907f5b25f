"""The audit of a run: what its records prove, what its files hold, and a signed statement of both."""
