"""Holidays and early closes of the venue calendars, as the dbt seed `holidays`.

Run as a module it writes the seed anew: `python -m contracts.derive.holidays`. Weekends are not in
it; `dbt/models/silver/sessions.sql` knows those.
"""

import csv
import io
from pathlib import Path

SEED = Path(__file__).resolve().parents[2] / "dbt" / "seeds" / "holidays.csv"
FIRST, LAST = "1990-01-01", "2027-11-01"
# Our calendar -> the exchange whose days it keeps, and its close on an ordinary day (local hour).
KEPT = {"us_equity": ("XNYS", 16)}


def holidays() -> str:
    """CSV text: calendar, holiday (local date), close (local HH:MM; empty when closed all day)."""
    import exchange_calendars
    import pandas as pd

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["calendar", "holiday", "early_close"])
    for calendar, (exchange, ordinary) in KEPT.items():
        known = exchange_calendars.get_calendar(exchange, start=FIRST, end=LAST)
        closes = known.closes.dt.tz_convert(known.tz)
        for day in pd.bdate_range(FIRST, LAST):
            close = closes.get(day)
            if close is None:
                writer.writerow([calendar, f"{day:%Y-%m-%d}", ""])
            elif close.hour != ordinary:
                writer.writerow([calendar, f"{day:%Y-%m-%d}", f"{close:%H:%M}"])
    return out.getvalue()


if __name__ == "__main__":
    SEED.write_text(holidays())
