"""A program that behaves as badly as agents do. `python child.py MODE`; it reads stdin first if the mode says so."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

THREAD = '{"type":"thread.started","thread_id":"01a1fbfe-b118-75d0-a017-88674cbadd51"}'
STARTED = '{"type":"turn.started"}'
MESSAGE = '{"type":"item.completed","item":{"id":"item_0","type":"agent_message","text":"done"}}'
COMPLETED = (
    '{"type":"turn.completed","usage":{"input_tokens":100,"cached_input_tokens":20,"output_tokens":30,'
    '"reasoning_output_tokens":5}}'
)
COMMAND = (
    '{"type":"item.started","item":{"id":"item_1","type":"command_execution","command":"sleep 600",'
    '"aggregated_output":"","exit_code":null,"status":"in_progress"}}'
)


def say(*lines):
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def reply():
    say(THREAD, STARTED, MESSAGE, COMPLETED)


def ignore_signals():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def main(mode, *args):
    if "CHILD_STARTS" in os.environ:
        with Path(os.environ["CHILD_STARTS"]).open("a", encoding="ascii") as starts:
            starts.write(f"{os.getpid()}\n")
    if mode == "reply":
        reply()
    elif mode == "echo":
        sys.stdout.write(sys.stdin.read())
        sys.stderr.write("to stderr\n")
        return int(args[0]) if args else 0
    elif mode == "environment":
        for name, value in sorted(os.environ.items()):
            print(f"{name}={value!r}")
        print(f"cwd={str(Path.cwd())!r}")
    elif mode == "lines":
        for number in range(int(args[0])):
            say(f'{{"type":"tick","number":{number}}}')
            time.sleep(float(args[1]))
    elif mode == "bytes":
        size = int(args[0])
        sys.stdout.buffer.write(b"x" * size)
    elif mode == "errors":
        sys.stderr.buffer.write(b"y" * int(args[0]))
    elif mode == "numbers":
        # As many bytes as wanted, each of them in its one place, over some seconds.
        count, seconds = int(args[0]), float(args[1])
        for number in range(count):
            say(f'{{"number":{number},"text":"{"é" * (number % 50)}"}}')
            time.sleep(seconds / count)
            if number % 10 == 0:
                sys.stderr.write(f"note {number}\n")
    elif mode == "ignores-signals":
        ignore_signals()
        say(THREAD, STARTED)
        time.sleep(600)
    elif mode == "hangs":
        say(THREAD, STARTED)
        time.sleep(600)
    elif mode == "hangs-in-command":
        say(THREAD, STARTED, COMMAND)
        time.sleep(600)
    elif mode == "lingers":
        reply()
        ignore_signals()
        time.sleep(600)
    elif mode == "leaks-stdout":
        subprocess.Popen([sys.executable, __file__, "mute"], stdin=subprocess.DEVNULL)
        reply()
    elif mode == "leaves-helper":
        # As codex does now and then: its helper for files has no mark, and TERM does not end it.
        path = f"{os.environ['CODEX_HOME']}/tmp/arg0-linux/codex-arg0:{os.environ['PATH']}"
        helper = [sys.executable, __file__, "mute", "--codex-run-as-fs-helper"]
        subprocess.Popen(helper, stdin=subprocess.DEVNULL, env={"PATH": path}, start_new_session=True)
        reply()
    elif mode == "mute":
        ignore_signals()
        time.sleep(600)
    elif mode == "half-line":
        say(THREAD, STARTED)
        sys.stdout.write('{"type":"item.comp')
    elif mode == "forks-away":
        # Out of the session, out of the process group, out of the environment, and not our child any more.
        subprocess.Popen(
            ["env", "-i", "setsid", "sh", "-c", "sleep 600 & sleep 601"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.close(1)
                os.close(2)
                time.sleep(602)
            os._exit(0)
        time.sleep(0.3)
        reply()
    elif mode == "flees":
        # Each of these is gone as soon as its child is there: no pid of theirs lasts. The file's time tells of them.
        for _ in range(int(args[1])):
            if os.fork() == 0:
                os.setsid()
                os.closerange(0, 3)
                end = time.monotonic() + 60
                while time.monotonic() < end:
                    if os.fork():
                        os._exit(0)
                    os.utime(args[0])
                os._exit(0)
        time.sleep(0.3)
        reply()
    elif mode == "forks-away-and-hangs":
        subprocess.Popen(["setsid", "sh", "-c", "sleep 600 & sleep 601"], stdin=subprocess.DEVNULL)
        say(THREAD, STARTED)
        time.sleep(600)
    elif mode == "dies":
        say(THREAD, STARTED)
        os.kill(os.getpid(), signal.SIGKILL)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
