"""Reaches what the policy names in its own protocol, and what must stay out of reach: see `airgap_check.preflight`."""
