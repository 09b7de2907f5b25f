"""Text: cleaning, excerpts, dates, durations, counts, lines. Pure; no module here knows what a text is about."""
