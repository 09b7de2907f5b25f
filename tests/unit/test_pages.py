"""The docs as a site: what ci/pages makes of a document, and what it refuses. `ci/check` builds the whole of it."""

import importlib
import sys
from pathlib import Path

import pytest

URL = "https://docs.example.com/codex-runner/"


def load_pages():
    folder = str(Path(__file__).parents[2] / "ci")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("pages")
    finally:
        sys.path.remove(folder)


site = load_pages()


def written(folder, **pages):
    for name, body in pages.items():
        path = folder / ("index.html" if name == "index" else f"{name}/index.html")
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"<html><head></head><body><article>{body}</article></body></html>", encoding="utf-8")
    return folder


def test_each_document_is_on_one_page_of_its_own():
    pages = [site.page_of(document) for document in site.documents()]
    assert len(pages) == len(set(pages))
    assert site.unplaced() == []


def test_a_document_that_no_section_has_is_named(tmp_path):
    (tmp_path / "docs/adr").mkdir(parents=True)
    (tmp_path / "docs/vault.md").touch()
    (tmp_path / "docs/adr/0099-new.md").touch()
    assert site.unplaced(tmp_path) == ["docs/adr/0099-new.md"]


def test_links_to_pages_stay_and_others_lead_to_the_repository(monkeypatch):
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/codex-runner")
    there = "https://github.com/acme/codex-runner"
    assert site.link("docs/security.md", "vault.md#rotation") == "vault.md#rotation"
    assert site.link("docs/security.md", "../README.md#commands") == "index.md#commands"
    assert site.link("README.md", "docs/ssh.md") == "ssh.md"
    assert site.link("docs/dependencies.md", "../ci/constraints.txt") == f"{there}/blob/main/ci/constraints.txt"
    assert site.link("README.md", "ci/github") == f"{there}/tree/main/ci/github"
    assert site.link("README.md", "https://example.com/x.md") == "https://example.com/x.md"
    with pytest.raises(site.SiteError, match=r"README.md: the link docs/none.md leads nowhere"):
        site.link("README.md", "docs/none.md")


def test_code_is_no_link_and_stays_as_it_is():
    text = "A `[x](docs/ssh.md)` and a [y](docs/ssh.md).\n\n```md\n  [z](docs/ssh.md)\n```\n"
    expected = "A `[x](docs/ssh.md)` and a [y](ssh.md).\n\n```md\n  [z](docs/ssh.md)\n```\n"
    assert site.page("README.md", text) == expected


def test_lists_become_those_of_python_markdown():
    text = "Some:\n- one\n  goes on\n  - below\n\n  a paragraph\n- two\n"
    assert site.page("README.md", text) == ("Some:\n\n- one\n    goes on\n    - below\n\n    a paragraph\n\n- two\n")


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ('<a href="none/">x</a>', "none/ leads nowhere"),
        ('<a href="vault/#no">x</a>', "vault/#no has no such anchor"),
        ('<a href="#no">x</a>', "#no has no such anchor"),
        (f'<a href="{URL}none/">x</a>', f"{URL}none/ leads nowhere"),
        ('<img src="picture.svg">', "picture.svg leads nowhere"),
        ('<img src="https://example.com/x.png">', "loads https://example.com/x.png from elsewhere"),
        ('<img srcset="//example.com/x.png 2x">', "loads //example.com/x.png from elsewhere"),
        ('<script src="http://example.com/x.js"></script>', "loads http://example.com/x.js from elsewhere"),
        ('<link rel="stylesheet" href="https://example.com/x.css">', "loads https://example.com/x.css from elsewhere"),
        ('<link rel="preconnect" href="https://example.com">', "loads https://example.com from elsewhere"),
        ('<i style="background: url(https://example.com/x)"></i>', "loads https://example.com/x from elsewhere"),
        ("<style>@import 'https://example.com/x.css';</style>", "loads https://example.com/x.css from elsewhere"),
    ],
)
def test_a_page_with_a_broken_link_or_a_foreign_load_is_refused(tmp_path, body, wrong):
    folder = written(tmp_path, index=body, vault='<h2 id="setup">x</h2>')
    assert site.judge(folder, URL) == [f"index.html: {wrong}"]


def test_a_style_sheet_that_loads_from_elsewhere_is_refused(tmp_path):
    (tmp_path / "site.css").write_text("@font-face { src: url('https://example.com/x.woff2') }", encoding="utf-8")
    assert site.judge(tmp_path, URL) == ["site.css: loads https://example.com/x.woff2 from elsewhere"]


def test_a_sound_page_is_accepted(tmp_path):
    body = (
        '<a href="vault/#setup">x</a> <a href="vault/">x</a> <a href=".">x</a> <a href="https://example.com/">x</a>'
        f'<a href="{URL}vault/#setup">x</a> <a href="mailto:x@example.com">x</a> <a href="/codex-runner/vault/">x</a>'
        '<img src="data:image/png;base64,AA=="> <link rel="canonical" href="https://example.com/">'
    )
    folder = written(
        tmp_path, index=body, vault='<h2 id="setup">x</h2> <a href="../#x" id="x">y</a> <a href="..">z</a>'
    )
    assert site.judge(folder, URL) == ["vault/index.html: ../#x has no such anchor"]


def test_what_github_shows_otherwise_is_named(tmp_path):
    (tmp_path / "README.md").write_text("# A\n\nSome:\n- one\n- two\n", encoding="utf-8")
    (tmp_path / "site").mkdir()
    folder = written(tmp_path / "site", index="<h1>A</h1><p>Some: - one - two</p>")
    assert site.unlike({"README.md": (folder / "index.html", tmp_path / "README.md")}) == [
        "README.md: 0 of <li> on the page, 2 on GitHub"
    ]


def test_a_word_of_code_that_github_shows_otherwise_is_named(tmp_path):
    (tmp_path / "README.md").write_text("# A\n\n| `a\\|b` |\n| --- |\n", encoding="utf-8")
    (tmp_path / "site").mkdir()
    folder = written(tmp_path / "site", index="<h1>A</h1><table><tr><th><code>a\\|b</code></th></tr></table>")
    assert site.unlike({"README.md": (folder / "index.html", tmp_path / "README.md")}) == [
        "README.md: `a\\|b` on the page, `a|b` on GitHub"
    ]


def test_a_page_forbids_its_browser_what_is_elsewhere_and_lets_long_code_break():
    told = site.finished("<head><title>x</title></head><code>tests/unit/test_x.py</code><pre><code>a/b</code></pre>")
    assert told.endswith("<pre><code>a/b</code></pre>")
    assert told.startswith('<head><meta http-equiv="Content-Security-Policy" content="default-src \'self\'; ')
    assert "<code>tests/<wbr>unit/<wbr>test_<wbr>x.<wbr>py</code>" in told


def test_the_list_for_programs_names_each_page():
    texts = {document: (site.TOP / document).read_text(encoding="utf-8") for document in site.documents()}
    told = site.llms(texts, URL)
    assert told.startswith("# codex-runner\n\n> Run OpenAI's Codex agent")
    assert [f"({URL}{site.page_of(each)}): " in told for each in site.documents()] == [True] * len(texts)
