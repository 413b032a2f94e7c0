"""Ratios of the gateway against in-process DuckDB and ROAPI, on the same files in one run: `make bench`."""
