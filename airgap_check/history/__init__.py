"""What earlier runs saw on this host: which artifacts and images there were, and the last green preflight."""
