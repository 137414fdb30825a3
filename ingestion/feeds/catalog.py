"""Which feeds there are: two of every contract, those shipped here, and the user's own."""

from collections.abc import Iterator
from pathlib import Path

from contracts import registry
from ingestion.feeds.mapping import Feed, FeedError, load_feed
from lake.settings import Settings

SHIPPED = Path(__file__).parent
SUFFIXES = (".yml", ".yaml")
OWN_NAME = "feed"  # <inbox>/<feed>/feed.yml


def known_feeds(settings: Settings) -> dict[str, Feed | Path]:
    """Feed name -> its mapping, or the file that holds it.

    The inbox's `<feed>/feed.yml` wins over `<local>/feeds/<feed>.yml`, which wins over a shipped
    mapping of that name, which wins over the feeds that every contract has.
    """
    found: dict[str, Feed | Path] = {feed.name: feed for feed in _of_contracts()}
    found |= {path.stem: path for path in _mappings(SHIPPED)}
    found |= {path.stem: path for path in _mappings(settings.local / "feeds")}
    if settings.inbox.is_dir():
        for folder in sorted(settings.inbox.iterdir()):
            own = [path for path in _mappings(folder) if path.stem == OWN_NAME]
            if own:
                found[folder.name] = own[0]
    return dict(sorted(found.items()))


def find_feed(settings: Settings, name: str) -> Feed:
    """The mapping of a feed. Raises FeedError with the feeds that exist."""
    feeds = known_feeds(settings)
    if name not in feeds:
        raise FeedError(
            f"no mapping for feed '{name}'; there are: {', '.join(feeds)}. Write your own as "
            f"{settings.local / 'feeds' / name}.yml or {settings.inbox / name / 'feed.yml'}"
        )
    found = feeds[name]
    return found if isinstance(found, Feed) else load_feed(found, name)


def _of_contracts() -> Iterator[Feed]:
    """What every contract can be read from without a mapping: its own names."""
    for contract in registry.all_contracts().values():
        yield Feed(
            name=f"generic_{contract.dataset}",
            dataset=contract.dataset,
            format="csv_or_parquet",
            description=f"{contract.description} As CSV with a header, or as Parquet; columns "
            "have the names of the wire format or the canonical names. Times are ISO-8601 with an "
            f"offset, or integer {contract.epoch_unit} since epoch (ns in a column named "
            "event_ts_ns).",
        )
        yield Feed(
            name=f"json_{contract.dataset}",
            dataset=contract.dataset,
            format="jsonl",
            description=f"{contract.description} As JSON lines in the wire format, one object a "
            "line.",
        )


def _mappings(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
