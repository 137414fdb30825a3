{#
    CUSIP and ISIN (analytics.md 19; ANSI X9.6, ISO 6166), in SQL that every engine has.

    Only the sum modulo ten decides, so what a character adds is one digit, and `translate` turns a
    whole text into those digits at once.
#}

{# An identifier without spaces and dashes, in upper case; never read as a number. #}
{% macro normal_identifier(text) -%}
    upper(replace(replace({{ text }}, ' ', ''), '-', ''))
{%- endmacro %}


{# The digits that each character of `alphabet` (character -> value) adds, with its last digit
   doubled or not; modulo ten. #}
{% macro luhn_digits(values, doubled) -%}
    {%- for value in values -%}
        {%- set units = (value % 10) * (2 if doubled else 1) -%}
        {%- set tens = (value // 10) * (1 if doubled else 2) -%}
        {{- (units // 10 + units % 10 + tens // 10 + tens % 10) % 10 -}}
    {%- endfor -%}
{%- endmacro %}


{# The check digit that the first eight characters of a normal CUSIP ask for, as text; null where
   they are not characters of a CUSIP. Every second character counts double. #}
{% macro cusip_check_digit(cusip) -%}
    {%- set alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ*@#' -%}
    {%- set once, twice = [], [] -%}
    {%- for value in range(39) -%}
        {%- do once.append((value // 10 + value % 10) % 10) -%}
        {%- do twice.append((2 * value // 10 + 2 * value % 10) % 10) -%}
    {%- endfor -%}
    case
        when length(substr({{ cusip }}, 1, 8)) = 8 and translate(substr({{ cusip }}, 1, 8), '{{ alphabet }}', '') = ''
            then cast((10 - (
                {%- for place in range(1, 9) %}
                {{- ' + ' if not loop.first }}cast(translate(substr({{ cusip }}, {{ place }}, 1), '{{ alphabet }}', '{{ (once if place % 2 else twice) | join }}') as integer)
                {%- endfor -%}
            ) % 10) % 10 as varchar)
    end
{%- endmacro %}


{# The check digit that the first eleven characters of a normal ISIN ask for, as text; null where
   they are not characters of an ISIN. Letters count as two digits; from the right every second
   digit counts double, beginning with the last. Whether a character's last digit is one of those
   follows from the number of digits to its right. #}
{% macro isin_check_digit(isin) -%}
    {%- set alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ' -%}
    case
        when
            length(substr({{ isin }}, 1, 11)) = 11
            and translate(substr({{ isin }}, 1, 11), '{{ alphabet }}', '') = ''
            and translate(substr({{ isin }}, 1, 2), '0123456789', '') = substr({{ isin }}, 1, 2)
            then cast((10 - (
                {%- for place in range(1, 12) %}
                {{- ' + ' if not loop.first -}}
                cast(case
                    when ({{ 11 - place }} + length(translate(substr({{ isin }}, {{ place + 1 }}, {{ 11 - place }}), '0123456789', ''))) % 2 = 0
                        then translate(substr({{ isin }}, {{ place }}, 1), '{{ alphabet }}', '{{ luhn_digits(range(36), true) }}')
                    else translate(substr({{ isin }}, {{ place }}, 1), '{{ alphabet }}', '{{ luhn_digits(range(36), false) }}')
                end as integer)
                {%- endfor -%}
            ) % 10) % 10 as varchar)
    end
{%- endmacro %}
