"""Credentials without a secret store: variables, files, the identity of the CI system."""
