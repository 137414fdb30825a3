{{ config(materialized='view') }}

select * from {{ ref('security_versions') }}
