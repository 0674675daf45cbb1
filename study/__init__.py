"""Search the hyper-parameters of any method with Ray Tune and Optuna, and report to MLflow."""
