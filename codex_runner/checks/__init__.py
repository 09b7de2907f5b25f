"""Checks with a library behind them: the JSON Schema of a reply, the detector of credentials."""
