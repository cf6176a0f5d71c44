"""XLSForms in, form definitions out. Knows nothing of rules, web or database."""
