"""What a stranger would call things. A shell that reads one of them as its own text makes the file `canary`."""


def values(canary):
    """Texts for any place that takes a text: each is executed, taken for an option, or falls apart, where it can."""
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
    )
