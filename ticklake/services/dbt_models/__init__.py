"""The page "dbt models" that Airflow shows beside a run."""
