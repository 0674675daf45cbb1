"""Reports to MLflow: reporter, outbox, sender, delivery, writer."""
