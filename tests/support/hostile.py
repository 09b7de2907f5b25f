"""Hostile names and values. A shell that executes one of them makes the file `canary`."""

import re


def values(canary):
    """Texts for any place that takes a text. Careless code executes them, takes them for options, or splits them."""
    return (
        f"$(touch {canary})",
        f"`touch {canary}`",
        f"'; touch {canary}; '",
        f'"; touch {canary}; "',
        f"; touch {canary} #",
        f"| touch {canary}",
        f"& touch {canary} &",
        f"first\ntouch {canary}\nlast",
        f"\n$(touch${{IFS}}{canary})\n\n",
        f"x=1 && touch {canary}",
        f"<(touch {canary})",
        "",
        " ",
        " a  b\t",
        "-",
        "--",
        "-rf",
        "-e",
        "--help",
        "-oProxyCommand=x",
        "*",
        "~",
        "$HOME ${PATH} $0 $@",
        "!!",
        "back\\slash \\n \\c \\0101 \\\\",
        "%s%n%%",
        "'\"`",
        "\r\x1b[2J\x07",
        "gr\u00f6\u00dfe \u65e5\u672c \U0001f600 \u202e",
        "caf\udce9 \udcff",  # bytes that are no UTF-8
        ".nonce",
        "done 0 0",
    )


def names(canary):
    """Names of files, as an agent may make them: any bytes but `/` and NUL. All of them fit into one folder."""
    mark = canary.rpartition("/")[2]  # a shell that executes one of them does so in the folder that it looks at
    return (
        f"$(touch {mark})",
        f"`touch {mark}`",
        f"'; touch {mark}; '",
        f'"; touch {mark}; ".md',
        f"first\ntouch {mark}\nlast",
        "new\nline",
        "::set-output name=stolen::1",
        "\n::error::fake",
        "##vso[task.setvariable variable=x]y",
        "-rf",
        "--help",
        "-",
        " ",
        " space ",
        "tab\t",
        "*",
        "~",
        "back\\slash\\n",
        "'\"`",
        "]]>",
        "<script>alert(1)<br>",
        "a|b ![x](http:x)",
        "[[ATTACHMENT|x]]",
        "\x1b[2J\x1b]0;title\x07",
        "\u202egnp.exe",
        "\x80\udcff".encode("utf-8", "surrogateescape").decode("latin-1"),
        "caf\udce9",
        "two\n\n",
        "-folder\n/-file\n",
    )


def obeyed(text):
    """Read a log as actions/runner does: `::name props::data` at a line's start, `##[name props]data` anywhere."""
    found = []
    for line in re.split(r"\r\n|\r|\n", text):
        if match := re.match(r"\s*::([^\s:]+)(?: (.*?))?::(.*)", line):
            properties = dict(pair.split("=", 1) for pair in (match[2] or "").split(",") if pair)
            found.append((match[1], {key: _decode(value) for key, value in properties.items()}, _decode(match[3])))
        elif match := re.search(r"##\[([^\]]*)\](.*)", line):
            found.append((match[1], {}, match[2]))
    return found


def _decode(text):
    for code, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, character)
    return text
