"""Judging what is published. Nothing here owns a table."""
