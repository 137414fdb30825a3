{{ config(by=['instrument_id', 'event_hour'], reach={'silver.quote_intervals': 'hour_and_next'}) }}

-- Bid and offer bars of every quoter, from all his updates (analytics.md 2, D09). A window in which
-- he says nothing has no bar.
{{ quote_bars(ref('quotes'), ref('quote_intervals'), 60) }}
