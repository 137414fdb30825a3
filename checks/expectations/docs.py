"""Data Docs: a page per table as Great Expectations renders it, and an index, as a static site.

The library's pages load their looks, and the rows of its index, from five hosts. These stand for
themselves: its rendering of the results is kept, what points elsewhere is left out, and a short
style sheet takes its place. Nothing in them asks the network for anything, and nothing that a value
in the data says can run in them.
"""

import html
import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from checks.expectations.judge import Suite

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem;
       color: #1c2530; background: #fff }
h1, h2, h4, h5 { line-height: 1.2; margin: 1.2em 0 .5em } h1 { font-size: 1.5rem }
h2, h4, h5 { font-size: 1.1rem }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem }
th, td { text-align: left; vertical-align: top; padding: .35rem .7rem;
         border-bottom: 1px solid #d5dbe1; overflow-wrap: anywhere }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
code { font: 13px/1.4 ui-monospace, monospace } a { color: #0b5cad }
.fas { font-style: normal; font-weight: bold }
.fa-check-circle::before { content: "\\2713"; color: #1a7f37 }
.fa-times::before { content: "\\2717"; color: #c62828 }
.fa-exclamation-triangle::before { content: "!"; color: #b26a00 }
.failed { color: #c62828; font-weight: bold } .found { color: #b26a00 }
@media (prefers-color-scheme: dark) {
  body { color: #d8dee6; background: #14181d } th, td { border-color: #38424d } a { color: #79b8ff }
}
"""

_BODY = re.compile(r'<div class="container-fluid pt-4.*?(?=<footer>)', re.DOTALL)
_SIDEBAR = re.compile(r'<div class="col-lg-2 col-md-2.*?(?=<div class="col-md-10)', re.DOTALL)
_ACTIVE = re.compile(r"<(script|style)\b.*?</\1>|<(?:link|img)\b[^>]*>", re.DOTALL)
_ELSEWHERE = re.compile(r'<a href="\.\./[^"]*"[^>]*>(.*?)</a>', re.DOTALL)  # to pages not made here
_FACTS = ("table", "expectations", "passed", "failed", "findings", "seconds")


class RenderingChanged(RuntimeError):
    """The library's pages are not what this module knows: it has to be taught the new ones."""


def write_docs(suites: Sequence[Suite], folder: Path, publication: str) -> Path:
    """Write the site anew in place of the old one; returns its index. `publication` heads it."""
    draft = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for suite in suites:
        (draft / _name(suite)).write_text(_page(suite, publication))
    (draft / "index.html").write_text(_index(suites, publication))
    shutil.rmtree(folder, ignore_errors=True)
    draft.replace(folder)
    return folder / "index.html"


def _name(suite: Suite) -> str:
    return f"{suite.table}.html"


def _page(suite: Suite, publication: str) -> str:
    back = '<p><a href="index.html">All tables</a></p>'
    heading = f"<h1>{suite.table}</h1><p>{html.escape(publication)}</p>"
    return _document(suite.table, f"{back}{heading}{_queries(suite)}{_rendered(suite)}")


def _rendered(suite: Suite) -> str:
    """What the library makes of the results, without what it loads and runs."""
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    if suite.result is None:
        return "<p>Nothing is expected of this table.</p>"
    document = ValidationResultsPageRenderer(run_info_at_end=True).render(suite.result)
    found = _BODY.search(DefaultJinjaPageView().render(document))
    if found is None:
        raise RenderingChanged(
            "Great Expectations renders its pages in another way than checks/expectations/docs.py "
            "knows; pin the version in requirements.txt, or teach it"
        )
    return _ELSEWHERE.sub(r"\1", _ACTIVE.sub("", _SIDEBAR.sub("", found.group())))


def _queries(suite: Suite) -> str:
    failed = [*suite.broken, *suite.findings]
    if not failed:
        return ""
    rows = "".join(
        f"<tr><td>{html.escape(v.rule.says)}<br>{html.escape(v.note)}</td>"
        f"<td>{html.escape(v.rule.source)}</td>"
        f"<td><code>{html.escape(v.rule.wrong_rows)}</code></td></tr>"
        for v in failed
    )
    return (
        "<h2>What does not hold</h2><table><tr><th>expected</th><th>written in</th>"
        f"<th>to see it</th></tr>{rows}</table>"
    )


def _index(suites: Sequence[Suite], publication: str) -> str:
    head = "".join(f"<th{_right(n)}>{name}</th>" for n, name in enumerate(_FACTS))
    rows = "".join(_row(suite) for suite in suites)
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return _document(
        "Expectations",
        f"<h1>Expectations of published tables</h1><p>{html.escape(publication)}, judged {now}</p>"
        f"<table><tr>{head}</tr>{rows}</table>",
    )


def _row(suite: Suite) -> str:
    passed = sum(verdict.passed for verdict in suite.verdicts)
    broken, findings = len(suite.broken), len(suite.findings)
    cells = (
        f'<td><a href="{_name(suite)}">{suite.table}</a></td>',
        f'<td class="n">{len(suite.verdicts)}</td><td class="n">{passed}</td>',
        f'<td class="n{" failed" if broken else ""}">{broken}</td>',
        f'<td class="n{" found" if findings else ""}">{findings}</td>',
        f'<td class="n">{suite.seconds:.2f}</td>',
    )
    return f"<tr>{''.join(cells)}</tr>"


def _right(place: int) -> str:
    return ' class="n"' if place else ""


def _document(title: str, body: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{html.escape(title)}</title><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style></head>\n<body>{body}</body></html>\n"
    )
