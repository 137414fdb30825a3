{{ config(by=['instrument_id', 'event_hour'], reach={'gold.best_quotes': 'hour_and_next'}) }}

-- Order-flow imbalance at the best prices (Cont, Kukanov and Stoikov 2014; analytics.md 15): what
-- was added to the best bid less what was taken from it, less the same of the best offer.
with states as (
    select
        *,
        -- a side that is not there is worse than any price, and has no size
        coalesce(best_bid, 0) as bid,
        case when best_bid is null then 0 else bid_size end as bid_quantity,
        coalesce(best_offer, 999999999) as offer,
        case when best_offer is null then 0 else offer_size end as offer_quantity
    from {{ touched(ref('best_quotes'), hours_back=1) }}
),

followed as (
    select
        *,
        lag(valid_to_ns) over states_in_order as before_to_ns,
        lag(bid) over states_in_order as bid_before,
        lag(bid_quantity) over states_in_order as bid_quantity_before,
        lag(offer) over states_in_order as offer_before,
        lag(offer_quantity) over states_in_order as offer_quantity_before
    from states
    window states_in_order as (partition by instrument_id order by valid_from_ns)
),

flows as (
    -- The first state of all, and one after a time without quotes, is no flow: it follows nothing.
    select
        instrument_id,
        event_hour,
        calendar,
        session_date,
        session_type,
        {{ window_start('valid_from_ns', 60) }} as window_start,
        case when bid >= bid_before then bid_quantity else 0 end
        - case when bid <= bid_before then bid_quantity_before else 0 end as bid_flow,
        case when offer <= offer_before then offer_quantity else 0 end
        - case when offer >= offer_before then offer_quantity_before else 0 end as offer_flow
    from followed
    where before_to_ns = valid_from_ns and starts_state
),

wanted as (
    -- of the hour before only its last state was
    select distinct instrument_id, event_hour from {{ touched(ref('best_quotes')) }}
)

select
    f.instrument_id,
    f.event_hour,
    f.calendar,
    f.session_date,
    f.session_type,
    f.window_start,
    count(*) as events,
    {% for flow in ['bid_flow', 'offer_flow'] %}
        case when count(f.{{ flow }}) = count(*) then cast(sum(f.{{ flow }}) as decimal(38, 8)) end
            as {{ flow }},
    {% endfor %}
    case
        when count(f.bid_flow) = count(*) and count(f.offer_flow) = count(*)
            then cast(sum(f.bid_flow - f.offer_flow) as decimal(38, 8))
    end as ofi
from flows as f
inner join wanted as w on f.instrument_id = w.instrument_id and f.event_hour = w.event_hour
group by all
