"""Trained models at work: long recordings, a field recorder's format, and the state of an installation."""
