"""POSIX shell scripts: how they are read, temporary files, and what codex leaves behind on a host."""
