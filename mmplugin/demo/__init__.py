"""The demonstration run behind ``tools/demo.sh``: its parts and bar, child runs, the report."""
