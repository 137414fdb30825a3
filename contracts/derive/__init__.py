"""What is made from a contract: decoder, schemas, dbt sources, docs."""
