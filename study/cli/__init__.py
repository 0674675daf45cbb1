"""The `study` command: one module per group of commands, imported when it is run."""
