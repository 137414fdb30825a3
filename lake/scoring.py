"""Scores of texts as a function of SQL: `sentiment_score(text)` on a DuckDB connection.

The scorer is VADER's compound (Hutto and Gilbert, ICWSM 2014), from -1 to 1 with four decimals: a
lexicon and rules, so that a text has the same score today and in a rebuild.
"""

from functools import cache
from typing import Any

import duckdb
import pyarrow as pa
from duckdb import DuckDBPyConnection
from duckdb.func import PythonUDFType

FUNCTION = "sentiment_score"
SCORER = "vader-3.3.2"  # as macro `scorer()` says; requirements.txt pins it


@cache
def _analyzer() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


def score(texts: pa.ChunkedArray) -> pa.Array:
    """The compound score of each text, [-1, 1], as float64; equal texts are read once."""
    distinct = pa.chunked_array(texts).combine_chunks().dictionary_encode()
    rate = _analyzer().polarity_scores
    scores = pa.array(
        [rate(text)["compound"] for text in distinct.dictionary.to_pylist()], pa.float64()
    )
    return scores.take(distinct.indices)


def register(conn: DuckDBPyConnection) -> None:
    """Make `sentiment_score` known to the connection's database; null stays null."""
    try:
        conn.create_function(FUNCTION, score, ["VARCHAR"], "DOUBLE", type=PythonUDFType.ARROW)
    except duckdb.CatalogException:
        return  # another connection of this process did
