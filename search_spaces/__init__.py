"""What is searched: one file per space, one constant `SPACE` of typed data, checked on import."""
