"""What is known about the product: its settings, where they stand, and which processes are its runtime."""
