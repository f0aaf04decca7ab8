"""What a person reads of a finished run: the headline scores, and where to look next."""
