"""Flow-based background embedding manipulation: the method, its module, flow families, votes, and its quality."""
