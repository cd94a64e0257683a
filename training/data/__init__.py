"""Training data: cases, folds, targets, cached images and their augmentation."""
