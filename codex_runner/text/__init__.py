"""Text, by itself: what can be seen of it. Pure; nothing here knows what the text is about."""
