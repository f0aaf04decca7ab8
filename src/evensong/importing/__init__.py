"""Recordings as people keep them -> data/, copied, with an account of every file."""
