"""Training of a network from scratch: its recipe, its images, its processes, its checkpoints."""
