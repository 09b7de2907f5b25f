"""POSIX shell scripts: loading them, their temporary files, and the clean-up of codex's leftovers on a host."""
