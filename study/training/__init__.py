"""One run on any machine: a trainer with its history, its kept checkpoints, and its states in the storage."""
