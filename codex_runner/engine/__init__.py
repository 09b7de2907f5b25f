"""The verbs: run, follow, watch, redact, judge. Imports the domain, and tenacity for retries."""
