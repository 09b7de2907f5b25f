"""Counts: plural forms, thousands, bytes."""

from codex_runner.text.counts import counted, format_size, plural


def test_counts():
    assert [counted(n, "file") for n in (0, 1, 1200)] == ["0 files", "1 file", "1,200 files"]
    assert [plural(n, "version") for n in (0, 1, 2)] == ["versions", "version", "versions"]


def test_sizes():
    sizes = {0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_960: "1.0 MB", 2_500_000_000: "2.5 GB"}
    assert {n: format_size(n) for n in sizes} == sizes
    assert format_size(3_200_000_000_000) == "3200.0 GB"
