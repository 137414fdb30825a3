{#
    Models whose rows carry a state onward: positions, P&L, limits.

    Reach `from_hour` is the touched part and every later one that stands in the model, so that
    whatever stands before the first part in scope is as it would be computed: it may be read, and
    is where the state comes from. Such a model reads
      from_scope_on(ref(..))   the rows of an input from the first hour in scope on, also of hours
                               between that are not in scope: the state runs through them
      before_scope(relation)   the rows before that hour, to take the last state from; of `this`,
                               the model itself, or of an input. None when the model is made whole
      in_scope(alias)          and hands on the rows of the parts in scope only (in_scope.sql).
    `hours_back` moves that first hour back for an input.
#}
{% macro from_scope_on(relation, hours_back=0) %}
    {% if not execute or model.resource_type != 'model' or is_whole() %}
        {% do return(relation) %}
    {% endif %}
    {% if is_untouched() %}
        {% do return("(select * from " ~ relation ~ " where false)") %}
    {% endif %}
    {% do return("(select t.* from " ~ relation ~ " as t where t.event_hour >= " ~ first_in_scope(hours_back)
        ~ " and exists (select 1 from " ~ first_hours() ~ " as s where " ~ same_instrument()
        ~ "t.event_hour >= s.first_hour - interval " ~ hours_back ~ " hour))") %}
{% endmacro %}


{% macro before_scope(relation, hours_back=0) %}
    {% if not is_carried() or is_untouched() %}
        {% do return("(select * from " ~ relation ~ " where false)") %}
    {% endif %}
    {% do return("(select t.* from " ~ relation ~ " as t where exists (select 1 from " ~ first_hours()
        ~ " as s where " ~ same_instrument()
        ~ "t.event_hour < s.first_hour - interval " ~ hours_back ~ " hour))") %}
{% endmacro %}


{# Does the model start from a state that stands? Not when it is made whole: it does not stand. #}
{% macro is_carried() %}
    {% do return(execute and model.resource_type == 'model' and not is_whole()) %}
{% endmacro %}


{# The first hour in scope: of each instrument, or of all where instruments share parts. #}
{% macro first_hours() %}
    {% set key = "instrument_id, " if 'instrument_id' in config.require('by') else "" %}
    {% do return("(select " ~ key ~ "min(hour) as first_hour from " ~ create_scope()
        ~ " group by all having min(hour) is not null)") %}
{% endmacro %}


{% macro same_instrument() %}
    {% do return("t.instrument_id = s.instrument_id and " if 'instrument_id' in config.require('by') else "") %}
{% endmacro %}


{# The same as a literal, by which row groups are skipped. #}
{% macro first_in_scope(hours_back) %}
    {% set found = build_state().scopes[create_scope()][0] %}
    {% do return("timestamptz '" ~ (found or '9999-01-01 00:00:00+00') ~ "' - interval " ~ hours_back ~ " hour") %}
{% endmacro %}


{# SQL of these parts and every later one that stands in this model. #}
{% macro hours_from(parts) %}
    {% set hour = hour_in(config.require('by')) %}
    {% if 'instrument_id' not in config.require('by') %}
        {% do return(parts ~ " union all select distinct null, t." ~ hour ~ " from " ~ this
            ~ " as t where t." ~ hour ~ " > (select min(hour) from (" ~ parts ~ "))") %}
    {% endif %}
    {% do return(parts ~ " union all select distinct t.instrument_id, t." ~ hour ~ " from " ~ this
        ~ " as t join (select instrument_id, min(hour) as hour from (" ~ parts ~ ") group by all) as d"
        ~ " on t.instrument_id = d.instrument_id and t." ~ hour ~ " > d.hour") %}
{% endmacro %}
