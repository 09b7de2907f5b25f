"""`python -m codex_runner`: the command line of this environment, whatever PATH says."""

from codex_runner.cli.main import program

if __name__ == "__main__":
    program()
