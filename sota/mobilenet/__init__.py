"""A MobileNet-like chain of 21 layers, each of which keeps one inverted residual, or is left out."""
