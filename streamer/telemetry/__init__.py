"""How operators look into a process: logs on stderr, metrics and health over HTTP."""
