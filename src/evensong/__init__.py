"""evensong: from imbalanced audio to classifiers whose numbers can be believed."""
