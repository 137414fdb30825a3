{#
    Reading only what was touched.

    A model of materialization `touched` declares
      by     the columns that cut it into replaceable parts: [instrument_id, event_hour],
             [event_hour], [landed_hour] or [instrument_id];
      reach  how far a changed part of a parent reaches into this model, per parent
             (default `hour`): hour | hour_and_next | hour_before | around | session |
             next_session | onward | from_hour | days:N | instrument | key | validity | none;
      kept_to_range  true: a build of a range of days leaves parts of other days to the next whole
             build, whatever reaches them: of those days it does not build all that has landed.
    and reads its inputs through `touched(ref(...))`. On a first build that is the whole table;
    afterwards it is the rows of the parts in this model's scope.
#}

{# Is this model rebuilt whole? It is, if it does not exist, if its SQL, that of a view it reads or
   a macro changed, on --full-refresh, and if a parent was rebuilt whole since the pin. #}
{% macro is_whole() %}
    {% if not execute or model.resource_type != 'model' or flags.WHICH not in ['build', 'run']
        or target.type != 'duckdb' %}
        {% do return(true) %}
    {% endif %}
    {% if should_full_refresh() or load_cached_relation(this) is none %}
        {% do return(true) %}
    {% endif %}
    {% set state = build_state() %}
    {% if state.checksums.get(touched_name()) != model_checksum() %}
        {% do return(true) %}
    {% endif %}
    {% for parent in parents_of(model) if parent.name in state.wholes %}
        {% do return(true) %}
    {% endfor %}
    {% do return(false) %}
{% endmacro %}


{# Did nothing change that this model reads? Then there is nothing to compute. #}
{% macro is_untouched() %}
    {% set state = build_state() %}
    {% if state.is_ranged %}
        {% do return(false) %}
    {% endif %}
    {% for parent in parents_of(model) if parent.name in state.dirty %}
        {% do return(false) %}
    {% endfor %}
    {% do return(true) %}
{% endmacro %}


{# What the models of one run know of each other: read once, kept up by the materialization. It
   lives in `graph`, the one object that dbt hands to every node of a run. #}
{% macro build_state() %}
    {% if 'ticklake_build' not in graph %}
        {% set info = run_query("select build_id, inputs, range_from from build.info").rows[0] %}
        {% set state = {
            'build_id': info[0], 'inputs': info[1], 'is_ranged': info[2] is not none,
            'checksums': {}, 'wholes': {}, 'dirty': {}, 'scopes': {},
        } %}
        {% for row in run_query("select model, checksum from build.model_state").rows %}
            {% do state.checksums.update({row[0]: row[1]}) %}
        {% endfor %}
        {% for row in run_query(
            "select model, bool_or(is_whole) from audit.dirty where is_open group by model"
        ).rows %}
            {% do state.dirty.update({row[0]: true}) %}
            {% if row[1] %}
                {% do state.wholes.update({row[0]: true}) %}
            {% endif %}
        {% endfor %}
        {% do graph.update({'ticklake_build': state}) %}
    {% endif %}
    {% do return(graph.ticklake_build) %}
{% endmacro %}


{% macro model_checksum() %}
    {% do return(local_md5(code_of(model) ~ build_state().inputs ~ invocation_args_dict.get('vars'))) %}
{% endmacro %}


{# The node's own SQL and that of the views it reads: a view keeps nothing that could have changed
   by itself, so its readers change with it. #}
{% macro code_of(node) %}
    {% set code = [node.raw_code] %}
    {% for id in node.depends_on.nodes | sort if id in graph.nodes %}
        {% if graph.nodes[id].config.materialized == 'view' %}
            {% do code.append(code_of(graph.nodes[id])) %}
        {% endif %}
    {% endfor %}
    {% do return(code | join('\n')) %}
{% endmacro %}


{# The nearest ancestors that record what changed in them: sources and touched models, seen
   through views. Returns a list of {name, id}. #}
{% macro parents_of(node) %}
    {% set found = [] %}
    {% for id in node.depends_on.nodes %}
        {% if id.startswith('source.') %}
            {% set source = graph.sources[id] %}
            {% do found.append({'name': source.schema ~ '.' ~ source.name, 'id': id}) %}
        {% elif id in graph.nodes and graph.nodes[id].resource_type == 'model' %}
            {% set parent = graph.nodes[id] %}
            {% if parent.config.materialized == 'touched' %}
                {% do found.append({'name': parent.schema ~ '.' ~ parent.alias, 'id': id}) %}
            {% else %}
                {% do found.extend(parents_of(parent)) %}
            {% endif %}
        {% endif %}
    {% endfor %}
    {% do return(found) %}
{% endmacro %}


{# The rows of `relation` that lie in this model's scope, as something to select from.
     hours_back  also the rows of that many hours before a part in scope
     hours_after also the rows of that many hours after a part in scope
     by          the columns of `relation` to match on (default: this model's own)
     dates       a date column by which files can be skipped before they are opened #}
{% macro touched(relation, hours_back=0, by=none, dates=none, hours_after=0) %}
    {% if not execute or model.resource_type != 'model' or is_whole() %}
        {% do return(relation) %}
    {% endif %}
    {% if is_untouched() %}
        {% do return("(select * from " ~ relation ~ " where false)") %}
    {% endif %}
    {% set by = by or config.require('by') %}
    {% set scope = create_scope() %}
    {% set matches = [] %}
    {% for column in by %}
        {% if column.endswith('_hour') %}
            {% set steps = [] %}
            {% for step in range(-hours_back, hours_after + 1) %}
                {% do steps.append("s.hour + interval (" ~ step ~ ") hour") %}
            {% endfor %}
            {% if steps | length > 3 %}
                {% do matches.append("t." ~ column ~ " between " ~ steps[0] ~ " and " ~ steps[-1]) %}
            {% else %}
                {% do matches.append("t." ~ column ~ " in (" ~ steps | join(', ') ~ ")"
                    if steps | length > 1 else "t." ~ column ~ " = s.hour") %}
            {% endif %}
        {% else %}
            {% do matches.append("t." ~ column ~ " = s." ~ column) %}
        {% endif %}
    {% endfor %}
    {% set bounds = scope_bounds(scope, by, hours_back, dates, hours_after) %}
    {% do return("(select t.* from " ~ relation ~ " as t where " ~ bounds
        ~ " and exists (select 1 from " ~ scope ~ " as s where " ~ matches | join(' and ') ~ "))") %}
{% endmacro %}


{# Literal bounds of the scope: what a file or row group can be skipped by. #}
{% macro scope_bounds(scope, by, hours_back, dates, hours_after=0) %}
    {% set hour = hour_in(by) %}
    {% if not hour %}
        {% do return('true') %}
    {% endif %}
    {% set found = build_state().scopes[scope] %}
    {% if found[0] is none %}
        {% do return('false') %}
    {% endif %}
    {% set low = "timestamptz '" ~ found[0] ~ "' - interval " ~ hours_back ~ " hour" %}
    {% set high = "timestamptz '" ~ found[1] ~ "' + interval " ~ hours_after ~ " hour" %}
    {% set bounds = "t." ~ hour ~ " between " ~ low ~ " and " ~ high %}
    {% if dates %}
        {% set days = run_query(
            "select distinct (hour - interval (step) hour)::date::varchar from " ~ scope
            ~ ", unnest(range(" ~ -hours_after ~ ", " ~ hours_back + 1 ~ ")) as steps(step)"
        ).columns[0].values() %}
        {% set bounds = bounds ~ " and t." ~ dates ~ " in (date '" ~ days | join("', date '") ~ "')" %}
    {% endif %}
    {% do return(bounds) %}
{% endmacro %}


{# Table scope.<schema>_<model> (instrument_id, hour): the parts this model has to recompute.
   Made once per run of a model, before its SQL is rendered. #}
{% macro create_scope() %}
    {% set scope = scope_name() %}
    {% set scopes = build_state().scopes %}
    {% if scope not in scopes %}
        {% do run_query("create or replace table " ~ scope ~ " as " ~ scope_sql()) %}
        {% set bounds = run_query("select min(hour)::varchar, max(hour)::varchar from " ~ scope).rows[0] %}
        {% do scopes.update({scope: [bounds[0], bounds[1]]}) %}
    {% endif %}
    {% do return(scope) %}
{% endmacro %}


{% macro scope_name() %}
    {% do return('scope.' ~ this.schema ~ '_' ~ this.identifier) %}
{% endmacro %}


{% macro scope_sql() %}
    {% set by = config.require('by') %}
    {% set reaches = config.get('reach', {}) %}
    {% set parts = [] %}
    {% for parent in parents_of(model) %}
        {% do parts.append(reached(parent.name, reaches.get(parent.name, 'hour'))) %}
    {% endfor %}
    {% set hour = hour_in(by) %}
    {% if hour %}
        {# A ranged build recomputes its whole range: what bronze has there, and what stands here. #}
        {% do parts.append("select " ~ ("b.instrument_id" if 'instrument_id' in by else "null")
            ~ ", " ~ hour ~ " from " ~ this ~ " as b, build.info where " ~ hour
            ~ " >= range_from and " ~ hour ~ " < range_to") %}
        {% do parts.append("select instrument_id, hour from audit.dirty, build.info where is_open "
            ~ "and range_from is not null and model like 'bronze.%' and until is not null") %}
    {% endif %}
    {% set columns = [] %}
    {% do columns.append("instrument_id" if 'instrument_id' in by else "null::varchar as instrument_id") %}
    {% do columns.append("hour" if hour else "null::timestamptz as hour") %}
    {% do return("select distinct " ~ columns | join(', ') ~ " from ("
        ~ parts | join(' union all ') ~ ") as touched (instrument_id, hour) where "
        ~ ("hour is not null" if hour else "instrument_id is not null")
        ~ (within_range() if config.get('kept_to_range', false) else "")) %}
{% endmacro %}


{# A condition on `hour`: where the build has a range of days, it lies in them. #}
{% macro within_range() %}
    {% do return(" and not exists (select 1 from build.info where hour < range_from or hour >= range_to)") %}
{% endmacro %}


{# SQL of the (instrument_id, hour) parts of this model that the changed parts of `parent` reach. #}
{% macro reached(parent, reach) %}
    {% set dirty = "from audit.dirty as d where d.is_open and d.model = '" ~ parent ~ "'" %}
    {% if reach == 'instrument' %}
        {% set hour = hour_in(config.require('by')) %}
        {% do return("select d.instrument_id, d.hour " ~ dirty ~ " union all select distinct "
            ~ "t.instrument_id, t." ~ hour ~ " from " ~ this ~ " as t where t.instrument_id in "
            ~ "(select d.instrument_id " ~ dirty ~ ")") %}
    {% elif reach == 'next_session' %}
        {% do return(hours_of_sessions("select d.instrument_id, d.hour " ~ dirty ~ " union all "
            ~ "select d.instrument_id, min(p.event_hour) from audit.dirty as d join " ~ parent
            ~ " as p on p.instrument_id = d.instrument_id and p.event_hour > d.hour where d.is_open "
            ~ "and d.model = '" ~ parent ~ "' group by d.instrument_id, d.hour")) %}
    {% elif reach == 'hour' or reach == 'key' %}
        {% do return("select d.instrument_id, d.hour " ~ dirty) %}
    {% elif reach in ['hour_and_next', 'hour_before', 'around'] %}
        {% set steps = {'hour_and_next': '0, 1', 'hour_before': '-1, 0', 'around': '-1, 0, 1'}[reach] %}
        {% do return("select d.instrument_id, d.hour + interval (step) hour from audit.dirty as d, "
            ~ "unnest([" ~ steps ~ "]) as steps(step) where d.is_open and d.model = '" ~ parent ~ "'") %}
    {% elif reach.startswith('days:') and 'instrument_id' not in config.require('by') %}
        {% do return("select null::varchar, unnest(generate_series(d.hour - interval 1 day, d.hour + interval "
            ~ reach[5:] ~ " day, interval 1 hour)) from (select distinct hour from audit.dirty as d where "
            ~ "d.is_open and d.model = '" ~ parent ~ "') as d") %}
    {% elif reach == 'onward' or reach.startswith('days:') %}
        {% set until = '' if reach == 'onward' else
            ' and t.' ~ hour_in(config.require('by')) ~ ' <= d.hour + interval ' ~ reach[5:] ~ ' day' %}
        {% do return(hours_of_sessions("select d.instrument_id, d.hour " ~ dirty) ~ " union all "
            ~ "select distinct t.instrument_id, t." ~ hour_in(config.require('by')) ~ " from " ~ this
            ~ " as t join audit.dirty as d on t.instrument_id = d.instrument_id and t."
            ~ hour_in(config.require('by')) ~ " > d.hour" ~ until ~ " where d.is_open and d.model = '"
            ~ parent ~ "'") %}
    {% elif reach == 'session' %}
        {% do return(hours_of_sessions("select d.instrument_id, d.hour " ~ dirty)) %}
    {% elif reach == 'from_hour' %}
        {% do return(hours_from("select d.instrument_id, d.hour " ~ dirty)) %}
    {% elif reach == 'validity' %}
        {% set hour = hour_in(config.require('by')) %}
        {% do return("select distinct t.instrument_id, t." ~ hour ~ " from " ~ this
            ~ " as t join audit.dirty as d on t.instrument_id = d.instrument_id and t." ~ hour
            ~ " + interval 1 hour > d.hour and (d.until is null or t." ~ hour ~ " < d.until)"
            ~ " where d.is_open and d.model = '" ~ parent ~ "'") %}
    {% elif reach == 'none' %}
        {% do return("select null, null where false") %}
    {% endif %}
    {% do exceptions.raise_compiler_error("unknown reach '" ~ reach ~ "' of " ~ parent) %}
{% endmacro %}


{# The column of `by` that is an hour, or none. #}
{% macro hour_in(by) %}
    {% for column in by if column.endswith('_hour') %}
        {% do return(column) %}
    {% endfor %}
    {% do return(none) %}
{% endmacro %}


{% macro quoted_list(values) %}
    {% do return("'" ~ values | join("', '") ~ "'") %}
{% endmacro %}


{# All hours of the sessions that (instrument_id, hour) rows lie in. #}
{% macro hours_of_sessions(parts) %}
    {% do return("select instrument_id, unnest(generate_series(" ~ session_start() ~ ", " ~ session_end()
        ~ " - interval 1 hour, interval 1 hour)) from (select distinct instrument_id, calendar, "
        ~ session_date('hour') ~ " as session_date from (select instrument_id, hour, " ~ calendar_of()
        ~ " as calendar from (" ~ parts ~ ") as parts))") %}
{% endmacro %}
