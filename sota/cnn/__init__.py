"""The DARTS CNN spaces S1 to S6: two cell types, 4 nodes and 14 edges a cell, image classification."""
