"""Breaking the service on purpose, and an independent look at what it leaves behind."""
