"""What runs beside the lake on one machine: the embedded broker and Airflow."""
