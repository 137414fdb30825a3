{{ config(
    by=['instrument_id', 'event_hour'],
    reach={'silver.quote_intervals': 'hour_and_next'},
) }}

-- Best bid and offer among indicative quotes, which are never part of best_quotes.
{{ best_quotes(
    own=touched(ref('quote_intervals')),
    before=touched(ref('quote_intervals'), hours_back=1),
    places=places_of(touched(ref('quote_intervals'), hours_back=1), kind='I'),
    kind='I',
) }}
