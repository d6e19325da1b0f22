"""How fast a backbone runs, beside others and beside what the machine can do."""
