"""Contracts: one file per dataset, and everything that is derived from it."""
