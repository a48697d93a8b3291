"""What earlier runs on this host saw and said: the runs, their findings, artifacts and images, a green preflight."""
