"""Ray sessions, nodes and processes."""
