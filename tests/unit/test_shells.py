"""No text of a shell is ever put together: a script is a constant of the code, and values are its arguments.

What this reads is the code itself. What happens to the values is in tests/security/test_hostile_values.py.

A script of more than a line is a .sh file beside its module, where shellcheck reads it.
"""

import ast
import re
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted([*ROOT.glob("codex_runner/**/*.py"), *ROOT.glob("ci/**/*.py")])

# Each runs a text by a shell, or starts a program by one.
SHELLS = {
    "system",
    "popen",
    "getoutput",
    "getstatusoutput",
    "create_subprocess_shell",
    "spawnlp",
    "execlp",
    "eval",
    "exec",
}
# The one text of a shell that is a job's own: the command of a check, which people write for a shell.
CHECK = "check.run"
# The one text of Python that is made while a program runs: an `__init__`, of the names that a class body has.
INITIALIZER = ("codex_runner/dataclass.py", "exec()")


def wrong(tree):
    """Line and offence of each call that hands a shell anything but a constant."""
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        on_module = not isinstance(call.func, ast.Attribute) or getattr(call.func.value, "id", "") in {"os", "asyncio"}
        if name in SHELLS and (on_module or name.startswith(("get", "create"))):
            yield call.lineno, f"{name}()"
        if any(keyword.arg == "shell" and ast.unparse(keyword.value) == "True" for keyword in call.keywords):
            yield call.lineno, "shell=True"
        whose = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
        scripts = [call.args[0]] if name in {"execute", "ask"} and whose.endswith("transport") else []
        for words in (call.args, *(each.elts for each in call.args if isinstance(each, ast.List | ast.Tuple))):
            scripts += [after for word, after in pairwise(words) if is_dash_c(word)]
        for script in scripts:
            text = constants.get(script.id, script) if isinstance(script, ast.Name) else script
            put_in = [each.value for each in ast.walk(text) if isinstance(each, ast.FormattedValue)]
            values = [each for each in put_in if getattr(each, "id", "") not in constants]
            if values or any(isinstance(each, ast.BinOp) for each in ast.walk(text)):
                yield call.lineno, f"a script that is put together: {ast.unparse(script)}"
            elif isinstance(text, ast.Attribute) and ast.unparse(text) != CHECK:
                yield call.lineno, f"a script that is a value: {ast.unparse(script)}"
            elif isinstance(text, ast.Call) and text.args and not is_file(text):
                yield call.lineno, f"a script that is made of something: {ast.unparse(script)}"


def is_file(call):
    """Whether a call reads scripts that lie beside the module: a package and names, all of them constants."""
    return ast.unparse(call.func) == "shell_script" and all(isinstance(each, ast.Constant) for each in call.args)


def is_dash_c(node):
    return isinstance(node, ast.Constant) and node.value == "-c"


def test_no_text_of_a_shell_is_put_together():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in MODULES
        for line, what in wrong(ast.parse(path.read_text()))
        if (str(path.relative_to(ROOT)), what) != INITIALIZER
    ]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "os.system(x)",
        "subprocess.run(x, shell=True)",
        "asyncio.create_subprocess_shell(x)",
        "subprocess.run(['sh', '-c', f'rm {x}'])",
        "create_subprocess_exec('sh', '-c', 'rm ' + x)",
        "self._transport.execute(f'rm {x}')",
        "transport.execute('rm {}'.format(x))",
        "transport.execute(job.cwd)",
        "transport.ask(f'rm {x}')",
        "_SCRIPT = f'rm {x}'\ntransport.execute(_SCRIPT)",
        "transport.ask(shell_script('package', name))",
    ],
)
def test_this_would_see_it(code):
    assert list(wrong(ast.parse(code)))


def test_no_script_of_ours_executes_a_value():
    """`eval` stands where the script itself is read, and nowhere else; no trap and no `sh -c` has a value in it."""
    for path in sorted(ROOT.glob("codex_runner/**/*.sh")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            code = line.partition(" # ")[0]
            assert "eval " not in code, f"{path.name}:{number}"
            assert 'sh -c "' not in code, f"{path.name}:{number}"
            assert 'trap "' not in code, f"{path.name}:{number}"


# What runs on a host for long, and hears signals.
HEARING = ("transports/host/*.sh", "shell/leftovers.sh", "shell/points.sh", "shell/scratch.sh")
TOKEN = re.compile(r"""\\.|'[^']*'|(?:(?<=\s)|^)\#[^\n]*|\$\(\(|\$\(|\$\{|["(){}`]""", re.MULTILINE | re.DOTALL)


def enclosed_substitutions(text):
    """The line of each substitution of a command within double quotes, `${...}` or `$((...))`."""
    within = []
    at = 0
    while match := TOKEN.search(text, at):
        token, at = match[0], match.end()
        inner = within[-1] if within else ""
        if inner == '"' and token[0] in "'#":
            at = match.start() + 1  # no quote and no comment in there
        elif token == '"' and inner == '"':
            within.pop()
        elif token in {"$(", "`"}:
            if inner in {'"', "${", "$(("}:
                yield text.count("\n", 0, at) + 1
            within += ["$("] if token == "$(" else []
        elif token in {"$((", "${", '"'} or (token == "(" and inner in {"(", "$(("}):
            within.append(token)
        elif token == ")" and inner == "$((" and text.startswith(")", at):
            within.pop()
            at += 1
        elif (token, inner) in {(")", "$("), (")", "("), ("}", "${")}:
            within.pop()


def test_what_hears_signals_substitutes_commands_in_the_open():
    """bash 5.2 parses one within quotes once more as it expands it. A signal then was a syntax error, and its end."""
    package = ROOT / "codex_runner"
    found = [
        f"{path.name}:{line}"
        for pattern in HEARING
        for path in sorted(package.glob(pattern))
        for line in enclosed_substitutions(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    "code", ['[ -n "$(find .)" ]', "size=$(($(wc -c <x)))", ': "${a:=$(b)}"', 'a=$(b "$(c)")', 'say "it\'s $(a)"']
)
def test_this_would_see_a_substitution(code):
    assert list(enclosed_substitutions(f"{code}\n")) == [1]


# What stands in Python although it is of several lines of shell, and why.
NOT_OURS = {
    "demo/git_project.py": "the check of the demo's job, in the configuration that it writes",
    "vault/rendering.py": "a script for people, which is printed: a line for each step of their setup",
}
SHELL = re.compile(
    r"(^|[;&|{(]|\bthen|\bdo|\belse)[ \t]*"
    r"(if|for|while|until|case|then|else|fi|do|done|esac|exec|trap|export|unset|set|cd|exit)\b"
    r"|\$[({][^{]|\$[0-9@*#?]|\|\||&&|<&|>&|>/dev/null|command -v",
    re.MULTILINE,
)


def long_scripts(tree):
    """Line and text of each string of several lines that is written in shell."""
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and isinstance(node.body[0], ast.Expr)
    }
    whole = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    parts = {id(part) for node in whole for part in ast.walk(node) if part is not node}
    for node in ast.walk(tree):
        if id(node) in documents | parts:
            continue
        if isinstance(node, ast.JoinedStr):
            text = "".join(each.value if isinstance(each, ast.Constant) else "VALUE" for each in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1 and sum(1 for line in lines if SHELL.search(line)) > 1:
            yield node.lineno, lines[0]


def test_a_script_of_several_lines_is_a_file():
    package = ROOT / "codex_runner"
    found = {
        path.relative_to(package).as_posix(): texts
        for path in sorted(package.rglob("*.py"))
        if (texts := list(long_scripts(ast.parse(path.read_text()))))
    }
    assert found.keys() == NOT_OURS.keys(), found


@pytest.mark.parametrize(
    "code",
    [
        "_PROBE = 'found=$1\\n[ -n \"$found\" ] || exit 0\\n'",
        "run(f'cd {x} || exit 1\\nfor each in *; do echo; done')",
        "_WATCH = 'exec 3<&0\\nread line <&3\\nexec \"$@\"\\n'",
    ],
)
def test_this_would_see_a_script_in_a_string(code):
    assert list(long_scripts(ast.parse(code)))
