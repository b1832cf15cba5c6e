"""The inference plane: a process of its own that answers predictions, with or without the control plane."""
