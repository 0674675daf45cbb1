"""Everything that touches Ray Tune: one stage of a study, its proposals, and what happens at a trial's events."""
