"""Where pictures come from: one module per kind of source, picked by its address."""
