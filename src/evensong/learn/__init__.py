"""Training, scoring and intervals, shared by both tracks."""
