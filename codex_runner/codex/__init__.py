"""All that knows the Codex CLI: its arguments, its configuration, its events, its failures."""
