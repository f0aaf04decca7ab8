"""What both tracks do with a folder of files: listing, names, refusals, quarantine, tables. Knows no track."""
