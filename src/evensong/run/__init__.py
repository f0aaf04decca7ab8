"""How a stage runs: exit codes, processes, locks and atomic publishing. Nothing here can change a result."""
