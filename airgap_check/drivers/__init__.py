"""What exercises a rehearsed command: each driver visits it over loopback, and says what it is doing while it does."""
