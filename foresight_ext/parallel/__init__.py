"""Independent work in other processes: of this machine by joblib, of a cluster by submitit."""
