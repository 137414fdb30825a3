"""Social posts (R8): what people write about instruments."""

import polars as pl

from contracts.base import TEXTS, Contract, Record, event_time_rules, field


class Posts(Record):
    """Canonical columns of a post."""

    platform: pl.String = field("platform", "where it was posted", never_null=True)
    post_id: pl.String = field("post_id", "the platform's id of the post", never_null=True)
    event_ts_ns: pl.Int64 = field(
        "created", "when it was posted", never_null=True, unit="ns since epoch UTC", kind="time"
    )
    author: pl.String = field("author", "who posted it")
    text: pl.String = field("text", "what it says", never_null=True)
    score: pl.Int64 = field("score", "engagement as the platform counts it; may be negative")
    tickers: TEXTS = field("tickers", "tickers that it names, as its source found them")

    in_range, not_future = event_time_rules()


CONTRACT = Contract(
    dataset="posts",
    version=1,
    model=Posts,
    topic="social.posts.v1",
    aliases=(),
    key="post_id",
    control_totals=(),
    partition_by_date=True,
    description="What people write about instruments.",
    epoch_unit="ms",
)
