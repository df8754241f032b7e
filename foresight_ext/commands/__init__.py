"""What command lines share. Options become settings here; nothing below sees them."""
