"""Independent work in processes and on clusters."""
