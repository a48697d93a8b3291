"""What an offline release bundle delivers, and whether it is whole and what it says it is."""
