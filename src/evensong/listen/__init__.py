"""A trained night model at work: recordings in, scored windows, events and tables out; ONNX."""
