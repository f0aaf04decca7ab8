"""The subcommands of `evensong`. Each imports what it needs when it runs: --help and doctor need no torch."""
