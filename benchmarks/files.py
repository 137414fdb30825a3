"""Generated files to bronze. Run by ingest.py: a process writes them, one per format lands them."""

import tempfile
from pathlib import Path

import structlog

from benchmarks.kafka import told, warm
from benchmarks.worker import Job, serve
from ingestion.generate.files import write_file
from ingestion.generate.plan import Plan
from ingestion.generate.presets import make_plan
from ingestion.generate.stream import blocks, datasets, module_of
from ingestion.land import land_file
from lake.settings import load_settings

FORMATS = ("parquet", "csv")


def plan_of(scale: float) -> Plan:
    """The full preset (1.2 M quotes, 10 M securities, 1 M trades), or a share of it."""
    full = make_plan("full")
    sizes = {name: max(1_000, round(getattr(full, name) * scale)) for name in datasets(full)}
    return make_plan("full", **sizes)


def write(folder: str, scale: float) -> Job:
    """Write every dataset of the plan in both formats, as <dataset>.<format>."""
    plan, rows = plan_of(scale), 0
    for dataset in datasets(plan):
        made = list(blocks(plan, dataset, plan.days[0]))
        rows += sum(map(len, made))
        for suffix in FORMATS:
            path = Path(folder) / f"{dataset}.{suffix}"
            write_file(path, module_of(dataset).FORM, made, lambda _: None)
    return {"records": rows, "datasets": list(datasets(plan))}


def land(path: str) -> Job:
    """Land one file into a fresh lake, its digest included."""
    file = Path(path)
    with tempfile.TemporaryDirectory(prefix="ticklake-benchmark-", dir=file.parent) as folder:
        settings = load_settings({"LAKE_URI": folder, "TICKLAKE_KAFKA_BOOTSTRAP": ""})
        landing = told(land_file(settings, file, f"generic_{file.stem}"))
        return {**landing, "mb": file.stat().st_size / 1e6}


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    serve({"write": write, "land": land, "warm": warm})
