"""Which feeds there are: those shipped here, and the user's own."""

from pathlib import Path

from ingestion.feeds.mapping import Feed, FeedError, load_feed
from lake.settings import Settings

SHIPPED = Path(__file__).parent
SUFFIXES = (".yml", ".yaml")
OWN_NAME = "feed"  # <inbox>/<feed>/feed.yml


def known_feeds(settings: Settings) -> dict[str, Path]:
    """Feed name -> its mapping file.

    The inbox's `<feed>/feed.yml` wins over `<local>/feeds/<feed>.yml`, which wins over a shipped
    mapping of that name.
    """
    found = {path.stem: path for path in _mappings(SHIPPED)}
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
    return load_feed(feeds[name], name)


def _mappings(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
