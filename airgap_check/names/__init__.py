"""What is known about name service: its files, its local forwarders, and the question itself."""
