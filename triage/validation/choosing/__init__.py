"""Choice of operating points on a site's own cases: rule, strata, cases, choice."""
