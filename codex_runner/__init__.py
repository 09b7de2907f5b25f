"""codex-runner: OpenAI's Codex agent in CI pipelines, and trusted there."""

__version__ = "0.1.0"
