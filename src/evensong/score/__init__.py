"""What is computed from saved predictions: scores, intervals, curves, estimates. Knows no track and no network."""
