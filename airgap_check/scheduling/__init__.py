"""Runs that repeat: as a timer or a service of systemd, or as a line for cron."""
