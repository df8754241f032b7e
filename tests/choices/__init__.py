"""Choices: MixedOps, genotypes, stand-alone networks, and the search of a network of one's own."""
