"""What watches while time passes: each observer ends as one piece of evidence that says how well it saw."""
