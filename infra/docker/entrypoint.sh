#!/bin/sh
# Puts the desk's log-in where Airflow's simple auth manager looks for it, readable by us alone,
# takes it out of the environment, and becomes the command.
set -eu
if [ -n "${TICKLAKE_AIRFLOW_PASSWORD:-}" ]; then
    (
        umask 077
        python -c 'import json, os; print(json.dumps({"desk": os.environ["TICKLAKE_AIRFLOW_PASSWORD"]}))' \
            >"$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
    )
    unset TICKLAKE_AIRFLOW_PASSWORD
fi
exec "$@"
