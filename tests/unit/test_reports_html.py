from __future__ import annotations

import base64
import hashlib
import http.server
import re
import shutil
import subprocess
import threading
import time
import tracemalloc
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import HOSTILE, event_samples
from support.report_states import PULL, START, a_run, delivered, events, exited, records, verdicts

from codex_runner.domain import event as ev
from codex_runner.domain.failure import Failure
from codex_runner.domain.folder import RunFolder
from codex_runner.domain.run import Ending, Usage
from codex_runner.domain.state import fold
from codex_runner.reports.escaping import html_text
from codex_runner.reports.html import coloured, html_report
from codex_runner.reports.moments import Lane, Mood, moments
from codex_runner.reports.timeline import scale
from codex_runner.reports.writer import FileReports

TAGS = {
    "html", "head", "meta", "title", "style", "body", "a", "header", "h1", "h2", "div", "span", "p", "main",
    "section", "small", "dl", "dt", "dd", "br", "svg", "rect", "circle", "line", "g", "text", "ul", "ol", "li",
    "table", "tr", "td", "pre", "code", "details", "summary", "strong", "fieldset", "legend", "input", "label",
    "footer",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "class", "href", "id", "aria-label", "aria-hidden",
    "role", "width", "height", "x", "y", "x1", "x2", "y1", "y2", "rx", "cx", "cy", "r", "text-anchor", "viewbox",
    "type", "checked", "for", "open", "colspan",
}  # fmt: skip
VOID = {"meta", "br", "input", "rect", "circle", "line"}
ATTACK = f"</pre></style></title><script>alert(1)</script><img src=x onerror=alert(1)>\" onload='x' {HOSTILE}"


class Page(HTMLParser):
    """Reads a page strictly: every element is of a kind that the report has, and is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.links, self.text, self.policy = [], [], [], "", ""
        self.feed(text)
        self.close()
        assert not self.open
        assert len(set(self.ids)) == len(self.ids)
        assert {link.removeprefix("#") for link in self.links} <= set(self.ids)

    def handle_starttag(self, tag, attrs):
        assert tag in TAGS
        found = dict(attrs)
        assert set(found) <= ATTRIBUTES, tag
        if tag == "a":
            assert re.fullmatch(r"#m\d+|#moments|https?://[\w.:/#?=&%~+-]+", found["href"])
            self.links += [found["href"]] if found["href"].startswith("#") else []
        if found.get("http-equiv"):
            self.policy = found["content"]
        self.ids += [found["id"]] if "id" in found else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


def report(happened, **more):
    every = records(happened)
    return html_report(fold(every), every, **more)


def command(number, exit_code=0, output="", text="true"):
    return ev.Command(f"c{number}", text, output, exit_code, "completed")


def test_a_page_tells_all_of_a_run():
    facts = {"checks": ["docs build", "spelling"], "prompt": "Please."}
    happened = [
        ev.RunStarted("run-1", "release-notes", "devbox", facts),
        ev.AttemptStarted(1),
        ev.TurnStarted(),
        ev.ItemStarted(ev.Command("c", "git log", "", None, "in_progress")),
        ev.ItemCompleted(ev.Command("c", "git log", "abc123\n", 0, "completed")),
        ev.ItemCompleted(ev.FileChange("f", (ev.FileEdit("/w/NOTES.md", "add"),), "completed")),
        ev.ItemCompleted(ev.AgentMessage("m", "The notes are written.")),
        ev.AttemptEnded(1, Ending(Failure.NETWORK, "the stream broke"), exited(1)),
        ev.CheckEnded("docs build", passed=False, exit_code=2, seconds=1, output="page missing"),
        ev.Warned("w", "mind this"),
        ev.ArtifactKept("artifacts/NOTES.md", 10, "0" * 64),
        ev.RunEnded(7, "failed", "the stream broke", "Run it later."),
    ]
    page = Page(report(happened, diff="+++ b/NOTES.md\n@@ -1 +1 @@\n+new\n-old\n"))
    for text in (
        "release-notes", "run-1", "devbox",
        "model service", "git log", "abc123", "/w/NOTES.md", "The notes are written.",
        "the stream broke", "page missing", "not reached", "mind this", "artifacts/NOTES.md", "Please.", "+new", "-old",
        "exit code 7", "Run it later",
    ):  # fmt: skip
        assert text in page.text, text


def test_the_policy_allows_the_pages_own_style_and_nothing_else():
    text = report([ev.RunStarted("r", "j", "local")])
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert Page(text).policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert text.index("Content-Security-Policy") < text.index("<style>")
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.parametrize("text", [ATTACK, "\u202egnp.exe", "&lt;b&gt;", "]]>", "\x00\ud800"])
def test_hostile_text_stays_text_wherever_it_stands(text):
    every = records(event_samples(text))
    page = Page(html_report(fold(every), every, diff=text))
    assert "\u202e" not in page.text
    if "&lt;" in text:
        assert "&lt;b&gt;" in page.text


@given(st.lists(events, max_size=12), st.lists(verdicts, max_size=1))
def test_whatever_happened_the_page_is_whole(middle, last):
    Page(report([ev.RunStarted("r", "j", "local", {"checks": ["c"]}), *middle, *last]))


def test_nothing_at_all_is_a_page_too():
    Page(html_report(fold([]), []))


def test_moments_have_their_times_and_how_they_went():
    happened = [
        (0, ev.AttemptStarted(1)),
        (1, ev.TurnStarted()),
        (5, ev.ItemStarted(ev.Command("c", "make", "", None, "in_progress"))),
        (9, ev.ItemCompleted(ev.Command("c", "make", "x", 2, "failed"))),
        (10, ev.Warned("disconnected", "devbox: broke")),
        (11, ev.Warned("disconnected", "devbox: broke again")),
        (20, ev.Warned("reconnected", "devbox: here again")),
        (21, ev.ItemStarted(ev.Command("d", "sleep", "", None, "in_progress"))),
        (30, ev.AttemptEnded(1, Ending(Failure.STALLED, "silent"))),
        (40, ev.AttemptStarted(2, reason="stalled")),
    ]
    every = moments(ev.Record(n, START + t, 1, ev.Position(), event) for n, (t, event) in enumerate(happened, 1))
    found = [(m.lane, m.kind, m.start - START, m.seconds, m.mood) for m in every]
    assert (Lane.COMMAND, "command", 5, 4, Mood.BAD) in found
    assert (Lane.COMMAND, "command", 21, 9, Mood.WARN) in found
    assert (Lane.TROUBLE, "disconnected", 10, 10, Mood.WARN) in found
    assert [f[2:4] for f in found if f[0] is Lane.MODEL] == [(1, 4), (9, 12)]
    assert [f[2:4] for f in found if f[0] is Lane.ATTEMPT] == [(0, 30), (30, 10), (40, 0)]
    to = scale(every, START, START + 40)
    assert [to.percent(START + t) for t in (-5, 0, 10, 40, 50)] == [0, 0, 25, 100, 100]


def test_the_timeline_is_to_scale_and_leads_to_the_list():
    every = [
        ev.Record(n, START + t, 1, ev.Position(), event)
        for n, (t, event) in enumerate(
            [
                (0, ev.RunStarted("r", "j", "local")),
                (25, ev.ItemStarted(command(1))),
                (75, ev.ItemCompleted(command(1))),
                (100, ev.RunEnded(0, "succeeded", "ok")),
            ],
            1,
        )
    ]
    text = html_report(fold(every), every)
    assert '<rect x="25.000%" y="4" width="50.000%"' in text
    number = re.search(r'<a href="#(m\d+)"[^>]*><title>command: true', text)[1]
    assert f'<li id="{number}" class="command">' in text


def test_a_retry_that_is_waited_for_is_told():
    (moment,) = moments(
        [ev.Record(1, START, 1, ev.Position(), ev.Retrying(2, 5.0, resume=True, reason="because of capacity"))]
    )
    assert (moment.kind, moment.title) == ("retry", "attempt 2 in 5s because of capacity")


def test_invisible_characters_are_shown():
    assert html_text("a\u202eb\u200bc<") == "a⟨U+202E⟩b⟨U+200B⟩c&lt;"


def test_a_diff_has_its_colours():
    text = coloured("diff --git a b\n--- a\n+++ b\n@@ -1 +1 @@\n-<old>\n+new\n same")
    assert re.findall(r'<span(?: class="(\w+)")?>', text) == ["file", "file", "file", "hunk", "del", "add", ""]
    assert "&lt;old&gt;" in text
    assert "and 9 lines more" in coloured("+x\n" * 5009)


def test_ten_thousand_events_make_a_page_that_opens():
    happened = [ev.RunStarted("r", "j", "local"), ev.AttemptStarted(1)]
    for number in range(5000):
        happened.append(ev.ItemStarted(command(number, None)))
        happened.append(ev.ItemCompleted(command(number, number % 3, "some output\n" * 200, f"make {number}")))
    every = records(happened)
    began = time.monotonic()
    text = html_report(fold(every), every)
    assert time.monotonic() - began < 60
    assert len(text) < 12_000_000
    assert text.count("<li id=") == 5001
    assert text.count("<rect") + text.count("<circle") < 6000
    assert "make 4999" in text


def test_large_outputs_are_not_all_held_at_once():
    begun = records([ev.RunStarted("r", "j", "local"), ev.AttemptStarted(1)])

    def much():
        yield from begun
        for number in range(60):
            output = f"{number}\n" * 300_000
            yield ev.Record(
                number + 10,
                1.0,
                1,
                ev.Position(),
                ev.ItemCompleted(ev.Command(f"c{number}", "make", output, 0, "completed")),
            )

    tracemalloc.start()
    try:
        page = html_report(fold(begun), much())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(page) > 3_000_000
    assert peak < 8 * len(page)


def test_the_writer_writes_the_page_from_the_records_with_the_patch(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.artifacts.mkdir(parents=True)
    (folder.artifacts / "changes.patch").write_text("+an added line\n")
    happened = [ev.RunStarted("r", "j", "local"), ev.ArtifactKept("artifacts/changes.patch", 1, "0" * 64)]
    every = records(happened)
    paths = FileReports(folder, records=lambda: every).write(fold(every))
    assert folder.report in paths
    assert "+an added line" in folder.report.read_text()
    assert folder.report not in FileReports(folder).write(a_run())


class Listener(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def listener():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]  # fmt: skip


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("policy", [True, False], ids=["with the policy", "control: without it"])
def test_a_browser_runs_nothing_and_asks_for_nothing_even_if_escaping_failed(tmp_path, listener, policy):
    address = f"http://127.0.0.1:{listener.server_port}"
    planted = '<script>document.title = "taken over"</script>'
    planted += f'<img src="{address}/pixel"><iframe src="{address}/frame"></iframe>'
    text = report([ev.RunStarted("r", "the job", "local")]).replace("<main>", f"<main>{planted}")
    if not policy:
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    page = tmp_path / "report.html"
    page.write_text(text)
    done = subprocess.run(
        [
            CHROMIUM,
            *QUIET,
            f"--user-data-dir={tmp_path}/profile",
            "--virtual-time-budget=2000",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    title = re.search(r"<title>(.*?)</title>", done.stdout)[1]
    assert (title, sorted(listener.asked)) == (
        ("the job: running", []) if policy else ("taken over", ["/frame", "/pixel"])
    )


def test_the_page_says_what_the_tokens_cost():
    facts = {"job": {"price": {"input": "2", "output": "8", "currency": "EUR"}}}
    used = ev.TurnCompleted(Usage(1_000_000, 0, 250_000, 0))
    happened = [ev.RunStarted("r", "j", "local", facts), ev.AttemptStarted(1), ev.ThreadStarted("t"), used]
    assert "Cost4.0000 EUR" in Page(report(happened)).text


def test_the_head_says_what_came_of_the_delivery_and_links_to_the_pull_request():
    page = html_report(a_run(ev.AttemptStarted(2), delivered()), ())
    assert f'Delivery: updated. <a href="{PULL}">{PULL}</a> Pull request 7 is open.' in page
    assert "Delivery" not in html_report(a_run(), ())
    for link in ("javascript:alert(1)", 'https://a/"onclick="x', "https://a/ b"):
        assert "<a href=" not in html_report(a_run(ev.AttemptStarted(2), delivered(link=link)), ())
