"""Feed mappings: what a file's columns mean, one YAML file a feed."""
