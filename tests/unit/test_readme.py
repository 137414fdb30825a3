"""What the pages say exists: targets, commands, options, files, variables, tables, messages."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from contracts import registry
from ingestion.decode import decode_json
from lake.settings import Settings
from ticklake.cli import app

PROJECT = Path(__file__).resolve().parents[2]
README = PROJECT / "README.md"
PAGES = sorted(
    [
        README,
        PROJECT / "CONTRIBUTING.md",
        *(PROJECT / "docs").rglob("*.md"),
        *PROJECT.glob("[a-z]*/README.md"),
        *PROJECT.glob("ingestion/*/README.md"),
    ]
)
ROOMS = (
    "contracts", "lake", "ingestion", "checks", "ml", "serving", "ticklake", "dags", "dbt", "tests",
    "infra",
)  # fmt: skip
VARIABLE = re.compile(r"\b(?:TICKLAKE|LAKE)_[A-Z_]+\b")


def shown(page: Path) -> str:
    """How a failed assertion names a page."""
    return page.relative_to(PROJECT).as_posix()


def code(page: Path) -> Iterator[str]:
    """Lines of code blocks (continued lines joined) and code spans of a page."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from block.replace("\\\n", " ").splitlines()
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`([^`\n]+)`", prose)


def said_options(line: str, after: str) -> set[str]:
    """Long options on a line of code, as far as the command `after` takes them."""
    rest = line.partition(after)[2].partition("|")[0]
    return set(re.findall(r"(?<!\S)--[a-z][a-z-]*", rest))


def commands() -> dict[str, set[str]]:
    """Commands of `ticklake`, and the options that each, or one of its own commands, takes."""
    known: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return {name: options(command) | {"--help"} for name, command in known.items()}


def options(command: Any) -> set[str]:
    """The options of a command and of those below it."""
    own = {option for parameter in command.params for option in parameter.opts}
    return own.union(*map(options, getattr(command, "commands", {}).values()))


def variables() -> set[str]:
    """Variables that code, configuration or make speak of; pages and this file do not count."""
    files = [PROJECT / "Makefile", PROJECT / "docker-compose.yml", PROJECT / ".ci" / "run"]
    for room in ROOMS:
        files += [p for p in (PROJECT / room).rglob("*") if p.suffix in (".py", ".yml", ".sql")]
        files += (PROJECT / room).rglob("Dockerfile")
    here = Path(__file__).resolve()
    return {
        name
        for file in files
        if file.is_file() and file.resolve() != here and "target" not in file.parts
        for name in VARIABLE.findall(file.read_text(encoding="utf-8"))
    }


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for line in code(page):
            for named in re.findall(r"(?:^|\s)make((?: [a-z][a-z-]*)+)", line):
                assert set(named.split()) <= targets, f"{shown(page)}: {line}"


def test_every_ticklake_command_and_option_that_a_page_names_exists() -> None:
    known = commands()
    for page in PAGES:
        for line in code(page):
            for name in re.findall(r"(?:^|\s|/)ticklake ([a-z][a-z-]*)", line):
                assert name in known, f"{shown(page)}: {line}"
                assert said_options(line, f"ticklake {name}") <= known[name], shown(page)


def test_every_link_on_a_page_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            file = (page.parent / name).resolve() if name else page
            assert file.exists(), f"{shown(page)}: {target}"
            if anchor:
                titles = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in {t.lower().replace(" ", "-") for t in titles}, target


def test_every_file_of_ours_that_a_page_names_exists() -> None:
    example = re.compile(r"dealer_spreads_1h|<|\*|__init__")  # names of what a reader may make
    for page in PAGES:
        for line in code(page):
            for name in re.findall(r"(?<![\w/.>-])(?:[\w.-]+/)+[\w.-]*", line):
                ours = name.split("/")[0] in (*ROOMS, "docs", "benchmarks")
                if ours and not example.search(line):
                    assert (PROJECT / name).exists(), f"{shown(page)}: {name}"


def test_every_variable_that_a_page_names_is_read_somewhere() -> None:
    known = variables()
    for page in PAGES:
        assert set(VARIABLE.findall(page.read_text(encoding="utf-8"))) <= known, shown(page)


def test_every_command_and_every_variable_of_dbt_is_on_a_page() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    settings = (PROJECT / "dbt" / "dbt_project.yml").read_text(encoding="utf-8")
    chosen = re.findall(r"^  (\w+):", settings.partition("\nvars:\n")[2], re.MULTILINE)
    assert len(chosen) > 30
    assert [name for name in commands() if f"ticklake {name}" not in text] == []
    assert [name for name in chosen if f"`{name}" not in text] == []


def rows_of_settings() -> dict[str, str]:
    """Variable -> what the README's table shows as its default."""
    rows = {}
    for line in README.read_text(encoding="utf-8").splitlines():
        names, default = line.split("|")[1:3] if line.startswith("| `") else ("", "")
        rows |= {name: default.strip().strip("`") for name in VARIABLE.findall(names)}
    return rows


def test_the_readme_has_every_setting_with_its_default() -> None:
    rows = rows_of_settings()
    for field in Settings.model_fields.values():
        assert field.alias in rows
        if field.default is not None:
            given = Settings.model_validate({field.alias: rows[field.alias]})
            plain = Settings.model_validate({field.alias: field.default})
            assert given == plain, field.alias


def test_every_table_that_the_readme_names_exists() -> None:
    models = {path.stem for path in (PROJECT / "dbt" / "models").rglob("*.sql")}
    made = "\n".join(path.read_text() for path in (PROJECT / "lake").glob("*.py"))
    named = {n for line in code(README) for n in re.findall(r"\b(?:silver|gold|audit)\.\w+", line)}
    assert {"gold.candles_1m", "silver.trades", "audit.dirty"} <= named
    for name in named:
        assert name.partition(".")[2] in models or name in made, name


def test_the_messages_that_the_readme_shows_keep_their_contracts() -> None:
    messages = re.findall(r"^\| `([\w.]+)` \| `(\{.*\})` \|$", README.read_text(), re.MULTILINE)
    assert {topic for topic, _ in messages} == {c.topic for c in registry.all_contracts().values()}
    for topic, message in messages:
        decoded = decode_json(registry.for_topic(topic), [message.encode()], 10_000)
        assert decoded.rejects.is_empty(), decoded.rejects["message"][0]


def test_the_mapping_that_the_guide_shows_reads_the_file_that_it_shows(tmp_path: Path) -> None:
    from ingestion.land import land_file
    from lake.settings import load_settings

    guide = (PROJECT / "docs" / "feeds.md").read_text(encoding="utf-8")
    file, mapping = re.findall(r"^```(?:yaml)?\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)[:2]
    settings = load_settings({"LAKE_URI": str(tmp_path)})
    (settings.local / "feeds").mkdir(parents=True)
    (settings.local / "feeds" / "acme.yml").write_text(mapping)
    (tmp_path / "fills.csv").write_text(file)
    landing = land_file(settings, tmp_path / "fills.csv", "acme")
    assert (landing.ok, landing.rejected, landing.hours) == (2, 0, ("2025-10-02T14",))
