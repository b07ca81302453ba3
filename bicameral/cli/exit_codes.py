"""Exit codes that several commands share; `bicameral.errors` holds those of errors."""

#: The command did its work and what it looked at is not as it should be.
FINDINGS_EXIT_CODE = 1
