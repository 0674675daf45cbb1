"""A study's record: its folder, options, storage, selection rules and provenance."""
