"""Files, augmentation, mel spectrograms and mel images."""
