"""Check the data, models and evaluators of a run before its first stage starts."""
