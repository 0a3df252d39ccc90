"""One file a command: it parses, calls one library function and prints. Heavy imports stay inside."""
