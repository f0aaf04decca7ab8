"""Night track: class folders of clips to a balanced, leak-free index."""
