"""Voice track: a cohort of patients to sub-database tables and a fused result."""
