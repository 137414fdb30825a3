{{ config(materialized='view') }}

-- Every line of every account in one place, a row per line and measure: left = right.
{% set is_all = env_var('TICKLAKE_MODELS', 'all') == 'all' %}
{% set gold = {
    'rows': ['silver_rows', 'silver_rows - difference', 'difference'],
    'quantity': ['silver_quantity', 'silver_quantity - quantity_difference', 'quantity_difference'],
    'notional': ['silver_notional', 'silver_notional - notional_difference', 'notional_difference'],
} %}
{% set silver = {
    'rows': ['ok_rows', 'ok_rows - difference', 'difference'],
    'quantity': ['ok_quantity', 'ok_quantity - quantity_difference', 'quantity_difference'],
} %}
{% set closing = "'silver = gold + excluded' || case when venue = 'ALL' then '' else ', by venue' end" %}

with lines as (
    {{ account_lines(
        ref('account_landing'), "'consumed = ok + rejected'", 'dataset',
        {'rows': ['consumed', 'ok_rows + rejected_rows', with_positions('difference')]},
        hour='landed_hour', unit='unit', left_out=['rejected'],
    ) }}
    union all
    {{ account_lines(
        ref('account_gateway'),
        "case when is_replay then 'replayed = passed + filtered' else 'seen = passed + filtered + rejected' end",
        "'orders'", {'rows': ['seen_rows', 'seen_rows - difference', 'difference']},
        hour='landed_hour', unit='unit', left_out=['filtered', 'rejected'],
    ) }}
    union all
    {{ account_lines(
        ref('account_replay'), "'replayed = ok'", 'dataset',
        {'rows': ['replayed_rows', 'ok_rows', with_positions('difference')]},
        hour='landed_hour', unit='unit',
    ) }}
    union all
    {{ account_lines(
        ref('account_replay'), "'replayed = answered in quarantine'", 'dataset',
        {'rows': ['replayed_rows', 'quarantined_rows', 'quarantined_difference']},
        hour='landed_hour', unit='unit',
    ) }}
    union all
    {{ account_lines(
        ref('account_silver'), "'ok = silver + duplicates + filtered'", 'dataset', silver,
        hour='event_hour', unit='unit', left_out=['duplicate', 'lifecycle', 'filtered'],
    ) }}
    union all
    {{ account_lines(
        ref('account_gold'), closing, 'account', gold, hour='event_hour', instrument='instrument_id',
        venue='venue', left_out=['outlier', 'not_volume_eligible'],
    ) }}
    union all
    {{ account_lines(
        ref('account_sessions'),
        "'hours = day' || case when venue = 'ALL' then '' else ', by venue' end",
        "'candles_1d, ' || session_scope",
        {
            'rows': ['hours_rows', 'day_rows', 'difference'],
            'quantity': ['hours_quantity', 'day_quantity', 'quantity_difference'],
            'notional': ['hours_notional', 'day_notional', 'notional_difference'],
        },
        hour='event_hour', instrument='instrument_id', venue='venue',
    ) }}
    {% if is_all %}
        union all
        {{ account_lines(
            ref('account_analysts'), "'ok = silver + duplicates + filtered'", 'silver_table', silver,
            hour='event_hour', unit='unit', left_out=['duplicate', 'filtered'],
        ) }}
        union all
        {{ account_lines(
            ref('account_risk'), closing, 'account', gold, hour='event_hour', instrument='instrument_id',
            venue='venue', left_out=['no_trader', 'no_side', 'no_notional'],
        ) }}
    {% endif %}
)

select
    *,
    difference <> 0 as is_open
from lines
where left_amount <> 0 or right_amount <> 0 or difference <> 0
