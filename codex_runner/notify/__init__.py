"""Tells others how a run ended: webhooks, Slack, Teams, ntfy. It sends what the reports say."""
