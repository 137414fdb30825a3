"""One crash test's world: a broker with seeded messages, a lake, and what must be true of it."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
from deltalake import DeltaTable

from lake import ledger
from lake.layout import Layout, layout
from lake.settings import Settings, load_settings
from tests import bronze_rows
from tests.embedded_broker import Broker, Sent
from tests.faults.messages import TOPICS
from tests.oracle import Delivered, judge, kept

BATCH_ROWS = 24
TOTALS = {
    "trades": ("quantity",),
    "quotes": ("bid_size", "offer_size"),
    "orders": ("quantity",),
    "market_data": ("volume",),
    "positions": ("position_size",),
    "book_updates": ("quantity",),
    "bars": ("volume",),
}


@dataclass
class World:
    """A topic on a broker and the lake it lands in."""

    broker: Broker
    dataset: str
    root: Path
    partitions: int
    sent: list[Delivered]

    @property
    def environment(self) -> dict[str, str]:
        """Settings for whoever lands here."""
        return {
            "LAKE_URI": str(self.root),
            "TICKLAKE_KAFKA_BOOTSTRAP": self.broker.bootstrap,
            "TICKLAKE_KAFKA_TIMEOUT": "10",
            "TICKLAKE_BATCH_ROWS": str(BATCH_ROWS),
        }

    @property
    def settings(self) -> Settings:
        """The same as an object."""
        return load_settings(self.environment)

    @property
    def layout(self) -> Layout:
        """Where the lake's parts lie."""
        return layout(self.settings)

    @property
    def table(self) -> Path:
        """The bronze table."""
        return self.layout.bronze(self.dataset)

    def send(self, messages: Sequence[Sent]) -> None:
        """Produce messages, and remember where in the topic each of them lies."""
        topic = TOPICS[self.dataset]
        following = Counter(delivered.unit for delivered in self.sent)
        for message in messages:
            unit = self.broker.unit(topic, message.partition)
            self.sent.append(
                Delivered(
                    unit=unit,
                    position=following[unit],
                    recv_ts_ns=message.sent_ms * 1_000_000,
                    raw=message.value or b"",
                    source=topic,
                    delivery_unit=message.batch_id,
                )
            )
            following[unit] += 1
        self.broker.produce(topic, messages)

    def rows(self) -> list[dict[str, Any]]:
        """Every row of bronze at its newest version."""
        return bronze_rows.rows(self.table)

    def wrong(self) -> list[str]:
        """Everything that is not as it must be once all was landed; empty is right."""
        return [*bronze_rows.differences(self.dataset, self.rows(), self.sent), *self._accounts()]

    def _accounts(self) -> list[str]:
        """What does not close between what was sent and what the ledger says."""
        ledger.append_new(self.layout)
        commits = self.commits()
        verdicts = [judge(self.dataset, delivered) for delivered in self.sent]
        by_unit: dict[str, list[int]] = {}
        for commit in commits:
            sums = by_unit.setdefault(commit["unit"], [0, 0, 0])
            for place, name in enumerate(("consumed", "ok", "rejected")):
                sums[place] += commit[name]
        expected: dict[str, list[int]] = {}
        for verdict in verdicts:
            sums = expected.setdefault(verdict.delivered.unit, [0, 0, 0])
            sums[0] += 1
            sums[2 if verdict.code else 1] += 1
        once = {commit["version"]: commit for commit in commits}.values()
        codes: Counter[str] = Counter()
        for commit in once:
            codes.update(json.loads(commit["rejected_by_code"]))
        totals = {
            name: sum((Decimal(json.loads(c["totals"])[name]) for c in once), Decimal())
            for name in TOTALS.get(self.dataset, ())
        }
        good = kept(verdicts)
        checks = {
            "consumed, ok, rejected by unit": (by_unit, expected),
            "codes": (codes, Counter(v.code for v in verdicts if v.code)),
            "control totals": (
                totals,
                {n: sum((row[n] or 0 for row in good), Decimal()) for n in totals},
            ),
            "gaps between spans": (self._gaps(commits), []),
        }
        return [f"{name}: {is_} != {must}" for name, (is_, must) in checks.items() if is_ != must]

    def commits(self) -> list[dict[str, Any]]:
        """The ledger's rows of this dataset."""
        files = DeltaTable(str(self.layout.ledger)).file_uris()
        with duckdb.connect() as conn:
            found = conn.execute(
                "select * from read_parquet($files) where dataset = $dataset "
                "order by version, unit",
                {"files": files, "dataset": self.dataset},
            )
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, values, strict=True)) for values in found.fetchall()]

    @staticmethod
    def _gaps(commits: list[dict[str, Any]]) -> list[str]:
        stands: Counter[str] = Counter()
        gaps = []
        for commit in commits:
            if commit["first_position"] != stands[commit["unit"]]:
                gaps.append(f"{commit['unit']} at {commit['first_position']}")
            stands[commit["unit"]] = commit["next_position"]
        return gaps
