{{ config(materialized='view') }}

-- What CUSIP and ISIN of each security are worth. A wrong check digit is a finding, not a reason
-- to reject: test data and some vendors have them.
with normal as (
    select
        security_sk,
        instrument_id,
        {{ normal_identifier('cusip') }} as cusip,
        {{ normal_identifier('isin') }} as isin
    from {{ ref('security_versions') }}
    where is_current
),

checked as (
    select
        *,
        case
            when cusip is not null
                then coalesce(
                    length(cusip) = 9 and substr(cusip, 9, 1) = {{ cusip_check_digit('cusip') }}, false
                )
        end as is_cusip_ok,
        case
            when isin is not null
                then coalesce(
                    length(isin) = 12 and substr(isin, 12, 1) = {{ isin_check_digit('isin') }}, false
                )
        end as is_isin_ok,
        case when substr(isin, 1, 2) in ('US', 'CA') then substr(isin, 3, 9) = cusip end as is_cusip_in_isin
    from normal
)

select
    security_sk,
    instrument_id,
    cusip,
    isin,
    is_cusip_ok,
    is_isin_ok,
    is_cusip_in_isin,
    case when not is_cusip_ok or not is_isin_ok then 'ID_CHECK_DIGIT' end as flag
from checked
